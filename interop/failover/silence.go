//go:build linux

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/internal/command"
)

// silences returns a group that measures a silence in both directions, at the same
// time if parallel: the worse of them, and each. Measure says with ok whether there
// is anything to enter.
func silences(name string, systems []string, parallel bool,
	measure func(ctx context.Context, b *bench, system string, kind traffic.Kind) (took time.Duration, ok bool, err error),
) group {
	g := group{rows: []row{{name, "ms"}}, systems: systems, parallel: parallel}
	for _, kind := range each {
		g.rows = append(g.rows, row{with(name, kind), "ms"})
	}
	g.run = func(ctx context.Context, b *bench, system string) (values, error) {
		v := values{}
		var errs []error
		var mu sync.Mutex
		one := func(kind traffic.Kind) {
			took, ok, err := measure(ctx, b, system, kind)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			if ok {
				v[with(name, kind)] = ms(took)
				v[name] = max(v[name], ms(took))
			}
		}
		var wg sync.WaitGroup
		for _, kind := range each {
			if parallel {
				wg.Go(func() { one(kind) })
			} else {
				one(kind)
			}
		}
		wg.Wait()
		return v, errors.Join(errs...)
	}
	return g
}

// recovery ends the scene after a while, and returns for how long nothing arrived
// once the network worked again; not ok means that nothing was measured.
func (s *scene) recovery(ctx context.Context, works, watch time.Duration) (took time.Duration, ok bool, err error) {
	if err := command.Pause(ctx, watch); err != nil {
		return 0, false, err
	}
	end := s.mark("observed")
	arrived, err := s.finish()
	if arrived == nil {
		return 0, false, err
	}
	return traffic.Recovery(arrived, works, end), true, err
}

// each lists the directions of streams.
var each = []traffic.Kind{traffic.Down, traffic.Up}

// with names a row of one direction.
func with(name string, kind traffic.Kind) string {
	return name + "-" + string(kind)
}
