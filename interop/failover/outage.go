//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
)

// outageGroup measures how long after an outage of all paths data flows again.
func outageGroup(systems ...string) group {
	const name = "resume-60s"
	return silences(name, systems, true, func(ctx context.Context, b *bench, system string, kind traffic.Kind) (time.Duration, bool, error) {
		return b.outageOf(ctx, name, system, kind)
	})
}

func (b *bench) outageOf(ctx context.Context, name, system string, kind traffic.Kind) (took time.Duration, ok bool, err error) {
	// Many of these run at once, so they are slow.
	s, err := b.stage(ctx, name, system, "", lab.Topology{Paths: []lab.Path{slow, slow}}, kind, 1)
	if err != nil {
		return 0, false, err
	}
	defer s.close()
	if err := command.Pause(ctx, b.warm); err != nil {
		return 0, false, err
	}
	s.mark("all links down")
	for _, w := range s.Net.Ways {
		if err := w.Client.LinkDown(); err != nil {
			return 0, false, err
		}
	}
	if err := command.Pause(ctx, b.outage); err != nil {
		return 0, false, err
	}
	for _, w := range s.Net.Ways {
		if err := w.Client.LinkUp(); err != nil {
			return 0, false, err
		}
	}
	up := s.mark("all links up")
	patience := b.patient
	if system == "serval" {
		patience = b.observe
	}
	return s.recovery(ctx, up, patience)
}

// idleGroup measures how long after the loss of an interface all of many idle
// connections work again.
func idleGroup(systems ...string) group {
	const name = "idle-1000-move"
	return group{
		rows: []row{{name, "ms"}}, systems: systems,
		run: func(ctx context.Context, b *bench, system string) (values, error) {
			s, err := b.stage(ctx, name, system, "", twoPaths, traffic.Idle, b.idle)
			if err != nil {
				return nil, err
			}
			defer s.close()
			if _, err := s.Touch(10 * time.Second); err != nil {
				return nil, err
			}
			if err := command.Pause(ctx, 2*time.Second); err != nil {
				return nil, err
			}
			const wait = 10 * time.Second
			down := s.mark("link down")
			if err := s.Net.Ways[0].Client.LinkDown(); err != nil {
				return nil, err
			}
			t, err := s.Touch(wait)
			if err != nil {
				return nil, err
			}
			if t.Answered < b.idle {
				v := values{name: ms(wait)}
				if system != "serval" {
					return v, nil
				}
				return v, fmt.Errorf("%d of %d answer: %s", t.Answered, b.idle, t.Error)
			}
			return values{name: ms(t.Last - down)}, nil
		},
	}
}

// movesGroup moves one connection many times while it carries a stream: how many
// moves were done, how fast, and how much more memory both ends use at the end
// than after the first tenth.
func movesGroup(systems ...string) group {
	const name, rate, growth = "migrations-1000", "migrations-1000-rate", "migrations-1000-memory"
	return group{
		rows: []row{{name, "moves"}, {rate, "moves/s"}, {growth, "ratio"}}, systems: systems,
		run: func(ctx context.Context, b *bench, system string) (values, error) {
			// The server is reached from both of the client's interfaces.
			joined := lab.Topology{Paths: []lab.Path{good, good, good}, Client: []int{0, 1}, Server: []int{2}, Joined: true}
			s, err := b.stage(ctx, name, system, "", joined, traffic.Down, 1)
			if err != nil {
				return nil, err
			}
			defer s.close()
			if err := command.Pause(ctx, time.Second); err != nil {
				return nil, err
			}
			var ifaces []string
			for _, w := range s.Net.Ways[:2] {
				ifaces = append(ifaces, w.Client.Name())
			}
			const patience = 5 * time.Minute
			warm, err := s.Move(b.moves/10, patience, ifaces...)
			if err != nil {
				return nil, err
			}
			before, beforeServer, err := s.Memory()
			if err != nil {
				return nil, err
			}
			rest, err := s.Move(b.moves-b.moves/10, patience, ifaces...)
			if err != nil {
				return nil, err
			}
			after, afterServer, err := s.Memory()
			if err != nil {
				return nil, err
			}
			_, err = s.finish()
			if trouble := warm.Error + rest.Error; trouble != "" && system == "serval" {
				err = errors.Join(err, errors.New(trouble))
			}
			v := values{name: float64(warm.Count + rest.Count), growth: max(after/before, afterServer/beforeServer)}
			if took := warm.Took + rest.Took; took > 0 {
				v[rate] = v[name] / took.Seconds()
			}
			return v, err
		},
	}
}
