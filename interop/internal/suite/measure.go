package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/bench/score"
)

// Row is one line of the results.
type Row struct{ Name, Unit string }

// Case is one execution that yields several rows.
type Case struct {
	Rows    []Row
	Systems []string
	// Run measures one system once; the result is by row name. With an error there
	// may be values all the same: what was measured before.
	Run func(ctx context.Context, system string) (map[string]float64, error)
	// Once is for what is the same in every run.
	Once bool
}

// Choice implements Group.
func (c *Case) Choice() (rows []string, systems *[]string) {
	for _, r := range c.Rows {
		rows = append(rows, r.Name)
	}
	return rows, &c.Systems
}

// List prints what there is to measure.
func List(cases []Case) {
	for _, c := range cases {
		for _, r := range c.Rows {
			fmt.Printf("%-32s %-8s %s\n", r.Name, r.Unit, strings.Join(c.Systems, " "))
		}
	}
}

// Measure runs all cases and returns the results in order, with the failures of
// single runs joined. Systems take turns.
func Measure(ctx context.Context, runs int, cases []Case) (results []score.Result, _ error) {
	var failures []error
	start := time.Now()
	for i, c := range cases {
		values := score.Values{}
		for n := range runs {
			if c.Once && n > 0 {
				break
			}
			for _, system := range c.Systems {
				fmt.Fprintf(os.Stderr, "[%3.0fs] %d/%d %s, %s, run %d\n", time.Since(start).Seconds(), i+1, len(cases), c.Rows[0].Name, system, n+1)
				got, err := c.Run(ctx, system)
				if ctx.Err() != nil {
					return results, ctx.Err()
				}
				if err != nil {
					err = fmt.Errorf("%s, %s: %w", c.Rows[0].Name, system, err)
					fmt.Fprintln(os.Stderr, err)
					failures = append(failures, err)
				}
				for name, v := range got {
					values.Add(name, system, v)
				}
			}
		}
		for _, r := range c.Rows {
			results = append(results, values.Results(r.Name, r.Unit, c.Systems)...)
		}
	}
	return results, errors.Join(failures...)
}
