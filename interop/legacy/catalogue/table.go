//go:build linux

package catalogue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// Outcome is what one program did by one way.
type Outcome struct {
	Program string    `json:"program"`
	Way     stage.Way `json:"way"`
	// Missing names what this machine lacks; nothing was run then.
	Missing []string `json:"missing,omitempty"`
	Works   bool     `json:"works"`
	// Cut says that the network was cut below the program, as one that goes on for
	// long, and Survived that it went on.
	Cut      bool `json:"cut"`
	Survived bool `json:"survived"`
	// Runs of clients of their own reached so many instances in all, and the one
	// that reached most so many; 0 where that was not counted.
	Runs  int      `json:"runs,omitempty"`
	Union int      `json:"instances,omitempty"`
	Most  int      `json:"instances_of_one_run,omitempty"`
	Why   []string `json:"errors,omitempty"`
}

// Failed says that something was not as it should be.
func (o Outcome) Failed() bool { return len(o.Why) > 0 }

func (o Outcome) String() string {
	s := fmt.Sprintf("%-45s %-8s", o.Program, o.Way)
	switch {
	case len(o.Missing) > 0:
		return s + " skipped: " + strings.Join(o.Missing, ", ") + " missing"
	case o.Works:
		s += " works"
	}
	if o.Runs > 0 {
		s += fmt.Sprintf(", %d runs at %d instances, each at %d", o.Runs, o.Union, o.Most)
	}
	if o.Survived {
		s += ", survived"
	}
	for _, w := range o.Why {
		s += "\n  " + strings.ReplaceAll(w, "\n", "\n    ")
	}
	return s
}

// Options say how much is looked at.
type Options struct {
	Watch  time.Duration // after each change of the network; 0: the network holds
	Spread int           // runs to see how they are spread over instances; 0: none
	Say    func(Outcome) // is told of each when it is over
}

// Table runs programs by all of their ways on a stage of its own. The error is about
// the stage; what programs did is in the outcomes.
func Table(ctx context.Context, programs []*Program, o Options) ([]Outcome, error) {
	s, err := stage.New(ctx, lab.Path{RTT: 4 * time.Millisecond}, lab.Path{RTT: 12 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	h, err := Open(s, Lasting(o.Watch))
	if err != nil {
		return nil, err
	}
	var all []Outcome
	for _, way := range stage.Ways {
		var rows []Outcome
		var lasting []*Program
		for _, p := range programs {
			if !slices.Contains(p.Ways, way) {
				continue
			}
			r := h.row(ctx, p, way, o.Spread)
			if ctx.Err() != nil {
				return all, ctx.Err()
			}
			if r.Works && p.Lasts(way) && o.Watch > 0 {
				lasting = append(lasting, p)
			} else if o.Say != nil {
				o.Say(r)
			}
			rows = append(rows, r)
		}
		h.survive(ctx, rows, lasting, way, o)
		all = append(all, rows...)
	}
	return all, ctx.Err()
}

// row runs one program by one way, but for what needs a network that breaks.
func (h *House) row(ctx context.Context, p *Program, way stage.Way, spread int) Outcome {
	r := Outcome{Program: p.Name, Way: way, Missing: p.Missing()}
	if len(r.Missing) > 0 {
		return r
	}
	fail := func(err error) Outcome {
		if err != nil {
			r.Why = append(r.Why, err.Error())
		}
		return r
	}
	if err := h.Serve(ctx, p.service); err != nil {
		return fail(err)
	}
	if err := h.Works(ctx, p, way); err != nil {
		return fail(err)
	}
	r.Works = true
	if spread == 0 || servers[p.service].handled == nil {
		return r
	}
	all, err := h.Spreads(ctx, p, way, spread)
	if err != nil {
		return fail(err)
	}
	union := map[string]bool{}
	for _, one := range all {
		if len(one) == 0 {
			return r // it asks for nothing that is counted
		}
		r.Most = max(r.Most, len(one))
		for name := range one {
			union[name] = true
		}
	}
	r.Runs, r.Union = len(all), len(union)
	if r.Most > 1 {
		return fail(fmt.Errorf("the connections of one run were spread: %v", all))
	}
	return r
}

// atOnce is how many programs run while the network is cut: each should have time
// to notice.
const atOnce = 6

// batches parts programs into those that run at once. A server that has room for one
// client gets one.
func batches(programs []*Program) (all [][]*Program) {
	for _, p := range programs {
		fits := slices.IndexFunc(all, func(b []*Program) bool {
			return len(b) < atOnce && !(servers[p.service].single && slices.ContainsFunc(b, func(o *Program) bool { return o.service == p.service }))
		})
		if fits < 0 {
			all, fits = append(all, nil), len(all)
		}
		all[fits] = append(all[fits], p)
	}
	return all
}

// survive runs the programs that last, some at a time, and completes their rows.
func (h *House) survive(ctx context.Context, rows []Outcome, programs []*Program, way stage.Way, o Options) {
	for _, some := range batches(programs) {
		errs := h.Survives(ctx, some, way, o.Watch)
		for i, p := range some {
			r := &rows[slices.IndexFunc(rows, func(r Outcome) bool { return r.Program == p.Name })]
			r.Cut, r.Survived = true, errs[i] == nil
			if errs[i] != nil {
				r.Why = append(r.Why, "while the network broke: "+errs[i].Error())
			}
			if o.Say != nil && ctx.Err() == nil {
				o.Say(*r)
			}
		}
	}
}

// Counts sums up what ran, a program by each of its ways.
type Counts struct{ Ran, Passed, Cut, Survived int }

// Count sums up outcomes, but for those of programs that are not there.
func Count(all []Outcome) (n Counts) {
	for _, o := range all {
		if len(o.Missing) > 0 {
			continue
		}
		n.Ran++
		if o.Works {
			n.Passed++
		}
		if o.Cut {
			n.Cut++
		}
		if o.Survived {
			n.Survived++
		}
	}
	return n
}
