//go:build linux

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/failover/rig"
	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/internal/command"
)

// times is how long a cell takes: warm before the event, observe after it.
type times struct{ warm, observe time.Duration }

var (
	fullTimes  = times{1500 * time.Millisecond, 3 * time.Second}
	quickTimes = times{800 * time.Millisecond, 1800 * time.Millisecond}
)

// early is how long before the event a gap may begin to count as caused by it.
const early = 100 * time.Millisecond

// run measures the cell once: the longest time in which nothing reached the
// application, and an error if a byte was lost, doubled, swapped or wrong or an
// application saw an error.
func (c cell) run(ctx context.Context, system string, t times) (gap time.Duration, err error) {
	net, err := rig.Build(system, c.topology())
	if err != nil {
		return 0, err
	}
	defer net.Close()
	sides := c.sides(net)
	for _, s := range sides {
		if c.event.prepare != nil {
			if err := c.event.prepare(s); err != nil {
				return 0, err
			}
		}
	}
	r, err := rig.Start(ctx, net, system, c.kind, 1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if err := command.Pause(ctx, t.warm); err != nil {
		return 0, err
	}
	broken := traffic.Now()
	mend, err := c.strike(r, sides)
	if err != nil {
		return 0, err
	}
	if err := command.Pause(ctx, t.observe); err != nil {
		return 0, err
	}
	end := traffic.Now()
	if err := mend(); err != nil {
		return 0, err
	}
	o, err := r.Finish(10 * time.Second)
	if err != nil {
		return 0, err
	}
	gap = traffic.Gap(o.Arrived(c.kind), broken-early, end, end)
	if err := traffic.Exact(o.Client, o.Server); err != nil {
		return gap, err
	}
	if gap >= end-broken {
		return gap, errors.New("nothing arrived after the event")
	}
	return gap, nil
}

// strike makes the event happen on all sides at the same time.
func (c cell) strike(r *rig.Rig, sides []side) (mend func() error, err error) {
	mends, errs := make([]func() error, len(sides)), make([]error, len(sides))
	var wg sync.WaitGroup
	for i, s := range sides {
		wg.Go(func() { mends[i], errs[i] = c.event.do(r, s) })
	}
	wg.Wait()
	return func() error {
		var errs []error
		for _, m := range mends {
			if m != nil {
				errs = append(errs, m())
			}
		}
		return errors.Join(errs...)
	}, errors.Join(errs...)
}
