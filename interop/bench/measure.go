//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/serval-net/serval/interop/bench/score"
)

// measure runs all groups and returns the results in order, with the failures
// of single runs joined.
func (b *bench) measure(ctx context.Context, groups []group, runs int) ([]score.Result, error) {
	var results []score.Result
	var failures []error
	start := time.Now()
	for i, g := range groups {
		fmt.Fprintf(os.Stderr, "[%3.0fs] %d/%d %s\n", time.Since(start).Seconds(), i+1, len(groups), g.rows[0].name)
		got, err := b.group(ctx, g, runs)
		results = append(results, got...)
		failures = append(failures, err)
	}
	fmt.Fprintf(os.Stderr, "[%3.0fs] done\n", time.Since(start).Seconds())
	return results, errors.Join(failures...)
}

// group measures one group. Systems take turns, run by run, so that whatever
// else the machine does meets all of them.
func (b *bench) group(ctx context.Context, g group, runs int) ([]score.Result, error) {
	var s *site
	if g.site != nil {
		var err error
		if s, err = g.site(); err != nil {
			return nil, fmt.Errorf("%s: %w", g.rows[0].name, err)
		}
		defer s.close()
	}
	values := score.Values{}
	var failures []error
	for range runs {
		for _, system := range g.systems {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			got, err := g.run(ctx, b, s, system)
			if err != nil {
				err = fmt.Errorf("%s, %s: %w", g.rows[0].name, system, err)
				fmt.Fprintln(os.Stderr, err)
				failures = append(failures, err)
				continue
			}
			for _, r := range g.rows {
				from := r.from
				if from == "" {
					from = r.unit
				}
				if v, ok := got[from]; ok {
					values.Add(r.name, system, v)
				}
			}
		}
	}
	var results []score.Result
	for _, r := range g.rows {
		results = append(results, values.Results(r.name, r.unit, g.systems)...)
	}
	return results, errors.Join(failures...)
}
