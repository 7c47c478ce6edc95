//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/bench/score"
)

// row is one line of the results.
type row struct{ name, unit string }

// values is what one execution yields, by row name.
type values map[string]float64

// group is one execution that yields one row or several.
type group struct {
	rows    []row
	systems []string
	// parallel says that all runs may be done at the same time.
	parallel bool
	// run measures a system once. With an error there may be values all the
	// same: that a connection broke is a result.
	run func(ctx context.Context, b *bench, system string) (values, error)
}

// Choice is for suite.Choose.
func (g *group) Choice() (rows []string, systems *[]string) {
	for _, r := range g.rows {
		rows = append(rows, r.name)
	}
	return rows, &g.systems
}

// bench measures groups.
type bench struct {
	plan
	timelines string // directory; empty: none are written

	mu      sync.Mutex
	written map[string]int // timelines by name
}

// measure runs all groups and returns the results in order, with the failures of
// single runs joined.
func (b *bench) measure(ctx context.Context, groups []group) ([]score.Result, error) {
	var results []score.Result
	var failures []error
	start := time.Now()
	for i, g := range groups {
		fmt.Fprintf(os.Stderr, "[%4.0fs] %d/%d %s\n", time.Since(start).Seconds(), i+1, len(groups), g.rows[0].name)
		got, err := b.group(ctx, g)
		results = append(results, got...)
		failures = append(failures, err)
	}
	fmt.Fprintf(os.Stderr, "[%4.0fs] done\n", time.Since(start).Seconds())
	return results, errors.Join(failures...)
}

// group measures one group. Systems take turns, run by run, so that whatever else
// the machine does meets all of them.
func (b *bench) group(ctx context.Context, g group) ([]score.Result, error) {
	var mu sync.Mutex
	var failures []error
	got := score.Values{}
	one := func(system string) {
		v, err := g.run(ctx, b, system)
		mu.Lock()
		defer mu.Unlock()
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%s, %s: %w", g.rows[0].name, system, err)
			fmt.Fprintln(os.Stderr, err)
			failures = append(failures, err)
		}
		for _, r := range g.rows {
			if x, ok := v[r.name]; ok {
				got.Add(r.name, system, x)
			}
		}
	}
	var wg sync.WaitGroup
	for range b.runs {
		for _, system := range g.systems {
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case g.parallel:
				wg.Go(func() { one(system) })
			default:
				one(system)
			}
		}
	}
	wg.Wait()
	var results []score.Result
	for _, r := range g.rows {
		results = append(results, got.Results(r.name, r.unit, g.systems)...)
	}
	return results, errors.Join(failures...)
}
