//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// result is what one system did in one case, over all runs.
type result struct {
	Case   string  `json:"case"`
	System string  `json:"system"`
	Unit   string  `json:"unit"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
}

// measure runs all groups and returns the results in order, with the failures
// of single runs joined.
func (b *bench) measure(ctx context.Context, groups []group, runs int) ([]result, error) {
	var results []result
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
func (b *bench) group(ctx context.Context, g group, runs int) ([]result, error) {
	var s *site
	if g.site != nil {
		var err error
		if s, err = g.site(); err != nil {
			return nil, fmt.Errorf("%s: %w", g.rows[0].name, err)
		}
		defer s.close()
	}
	values := map[row]map[string][]float64{}
	for _, r := range g.rows {
		values[r] = map[string][]float64{}
	}
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
					values[r][system] = append(values[r][system], v)
				}
			}
		}
	}
	var results []result
	for _, r := range g.rows {
		for _, system := range g.systems {
			if v := values[r][system]; len(v) > 0 {
				results = append(results, summarise(r, system, v))
			}
		}
	}
	return results, errors.Join(failures...)
}

func summarise(r row, system string, v []float64) result {
	slices.Sort(v)
	median := v[len(v)/2]
	if len(v)%2 == 0 {
		median = (median + v[len(v)/2-1]) / 2
	}
	return result{Case: r.name, System: system, Unit: r.unit, Median: median, Min: v[0], Max: v[len(v)-1], Runs: len(v)}
}
