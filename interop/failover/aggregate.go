//go:build linux

package main

import (
	"context"
	"time"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
)

// goodput measures what arrives from the server over the paths, in Mbit/s, while
// disturb, if there is one, is at work.
func (b *bench) goodput(ctx context.Context, name, system string, disturb func(*lab.Paths) (stop func() error), paths ...lab.Path) (float64, error) {
	s, err := b.stage(ctx, name, system, "", lab.Topology{Paths: paths}, traffic.Down, 1)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if disturb != nil {
		stop := disturb(s.Net)
		defer stop()
	}
	if err := command.Pause(ctx, b.warm); err != nil {
		return 0, err
	}
	from := s.mark("measured from")
	if err := command.Pause(ctx, b.rate); err != nil {
		return 0, err
	}
	to := s.mark("measured to")
	arrived, err := s.finish()
	return traffic.Rate(arrived, from, to), err
}

// efficiencyGroup compares the rate over two paths with the sum of what the same
// system gets on each of them alone.
func efficiencyGroup(name string, a, b lab.Path, more []row, systems ...string) group {
	efficiency := name + "-efficiency"
	return group{
		rows:    append([]row{{efficiency, "ratio"}, {name + "-rate", "Mbit/s"}}, more...),
		systems: systems,
		run: func(ctx context.Context, bench *bench, system string) (values, error) {
			first, err := bench.goodput(ctx, name+"-alone", system, nil, a)
			if err != nil {
				return nil, err
			}
			second, err := bench.goodput(ctx, name+"-alone", system, nil, b)
			if err != nil {
				return nil, err
			}
			both, err := bench.goodput(ctx, name, system, nil, a, b)
			if err != nil {
				return nil, err
			}
			return values{
				efficiency:         both / (first + second),
				name + "-rate":     both,
				"single-path-rate": min(first, second),
			}, nil
		},
	}
}

// harmGroup compares the rate over a good path and a bad one with that over the
// good one alone.
func harmGroup(name string, bad lab.Path, flap bool, systems ...string) group {
	return group{
		rows: []row{{name, "ratio"}}, systems: systems,
		run: func(ctx context.Context, b *bench, system string) (values, error) {
			alone, err := b.goodput(ctx, name+"-alone", system, nil, good)
			if err != nil {
				return nil, err
			}
			var disturb func(*lab.Paths) func() error
			if flap {
				disturb = func(n *lab.Paths) func() error { return n.Flap(n.Ways[1].Client, time.Second) }
			}
			both, err := b.goodput(ctx, name, system, disturb, good, bad)
			if err != nil {
				return nil, err
			}
			return values{name: both / alone}, nil
		},
	}
}
