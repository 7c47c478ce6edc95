//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
)

// failure is a way for a path to fail and to be well again.
type failure struct {
	name     string
	do, undo func(*lab.Way) error
}

var (
	linkDown = failure{"link down",
		func(w *lab.Way) error { return w.Client.LinkDown() },
		func(w *lab.Way) error { return w.Client.LinkUp() }}
	addrRemoved = failure{"address removed",
		func(w *lab.Way) error { return w.Client.AddrRemove() },
		func(w *lab.Way) error { return w.Client.AddrAdd() }}
	blackhole = failure{"blackhole",
		func(w *lab.Way) error { return w.Blackhole(lab.BothWays) },
		func(w *lab.Way) error { return w.Unblackhole(lab.BothWays) }}
)

// early is how long before a failure a gap may begin to count as caused by it.
// Those that begin late after it are the machine's or the remaining path's.
const (
	early = 100 * time.Millisecond
	late  = time.Second
)

// twoPaths are two equal ones.
var twoPaths = lab.Topology{Paths: []lab.Path{good, good}}

// gapGroup measures, with two paths, the longest silence after the busier one
// failed.
func gapGroup(name, policy string, f failure, systems ...string) group {
	return silences(name, systems, false, func(ctx context.Context, b *bench, system string, kind traffic.Kind) (time.Duration, bool, error) {
		gap, err := b.gap(ctx, name, system, policy, kind, f)
		return gap, gap > 0, err
	})
}

func (b *bench) gap(ctx context.Context, name, system, policy string, kind traffic.Kind, f failure) (time.Duration, error) {
	s, err := b.stage(ctx, name, system, policy, twoPaths, kind, 1)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if err := command.Pause(ctx, b.warm); err != nil {
		return 0, err
	}
	way, err := s.busiest()
	if err != nil {
		return 0, err
	}
	broken := s.mark(f.name + " of path " + way.Name)
	if err := f.do(way); err != nil {
		return 0, err
	}
	if err := command.Pause(ctx, b.observe); err != nil {
		return 0, err
	}
	end := s.mark("observed")
	arrived, err := s.finish()
	if arrived == nil {
		return 0, err
	}
	return traffic.Gap(arrived, broken-early, broken+late, end), err
}

// anyGroup measures the worst gap of all failures of a single path.
func anyGroup(name, policy string, systems ...string) group {
	return group{
		rows: []row{{name, "ms"}}, systems: systems,
		run: func(ctx context.Context, b *bench, system string) (values, error) {
			v := values{}
			var errs []error
			for _, f := range []failure{linkDown, addrRemoved, blackhole} {
				for _, kind := range each {
					gap, err := b.gap(ctx, name, system, policy, kind, f)
					errs = append(errs, err)
					v[name] = max(v[name], ms(gap))
				}
			}
			return v, errors.Join(errs...)
		},
	}
}

// restoreGroup measures, with two paths of which one was down for a while, how
// long it takes until that one carries data again and until the rate is what it
// was before.
func restoreGroup(systems ...string) group {
	const used, full = "restore-used", "restore-full-rate"
	return group{
		rows: []row{{full, "s"}, {used, "s"}}, systems: systems,
		run: func(ctx context.Context, b *bench, system string) (values, error) {
			v := values{}
			var errs []error
			for _, kind := range each {
				u, f, err := b.restore(ctx, full, system, kind)
				errs = append(errs, err)
				v[used] = max(v[used], u.Seconds())
				v[full] = max(v[full], f.Seconds())
			}
			return v, errors.Join(errs...)
		},
	}
}

func (b *bench) restore(ctx context.Context, name, system string, kind traffic.Kind) (used, full time.Duration, err error) {
	const (
		window = 100 * time.Millisecond
		step   = 20 * time.Millisecond
		down   = 3 * time.Second
		enough = 0.95 // of the rate before
	)
	s, err := b.stage(ctx, name, system, "", twoPaths, kind, 1)
	if err != nil {
		return 0, 0, err
	}
	defer s.close()
	if err := command.Pause(ctx, b.warm); err != nil {
		return 0, 0, err
	}
	way := s.Net.Ways[0]
	broken := s.mark("link down")
	if err := way.Client.LinkDown(); err != nil {
		return 0, 0, err
	}
	if err := command.Pause(ctx, down); err != nil {
		return 0, 0, err
	}
	if err := way.Client.LinkUp(); err != nil {
		return 0, 0, err
	}
	restored := s.mark("link up")
	// A path is in use when it carries a tenth of what it could.
	threshold := uint64(float64(good.Rate) / 8 * step.Seconds() / 10)
	before, err := way.Client.Counters()
	if err != nil {
		return 0, 0, err
	}
	used = b.observe
	for traffic.Now()-restored < b.observe {
		time.Sleep(step)
		after, err := way.Client.Counters()
		if err != nil {
			return 0, 0, err
		}
		if after.Received+after.Sent-before.Received-before.Sent > threshold && used == b.observe {
			used = traffic.Now() - restored
		}
		before = after
	}
	end := s.mark("observed")
	arrived, err := s.finish()
	if arrived == nil {
		return 0, 0, err
	}
	rate := traffic.Rate(arrived, broken-time.Second, broken)
	return used, traffic.RateReached(arrived, restored, end, window, enough*rate), err
}
