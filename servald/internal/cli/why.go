package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/serval"
)

func (a *App) whyCommand() *cobra.Command {
	var q nodectl.Question
	var pid int
	cmd := &cobra.Command{
		Use:   "why NAME",
		Short: "Explain step by step what a dial of a service would do now",
		Long: `why says what a dial by this host would do, and does nothing of it: what the name is,
whether the certificate allows to dial it, which rules concern it, whether a hook would
run, which instances are known, in which order they would be asked and why, and who
refused lately. It asks the running servald, or with --pid a process, which knows
how instances answered its own dials.

A dial that would fail makes why fail with the code that the dial would have.

` + exitHelp,
		Example: `  servald why svc:web
  servald why svc:cache --key user:4711
  servald why svc:web --pid 4711 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Service = args[0]
			if err := q.Check(); err != nil {
				return usageError{err}
			}
			return a.why(cmd.Context(), pid, q)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&q.Key, "key", "k", "", "a dial by this key")
	f.StringVar(&q.Balance, "balance", "", "a dial that chooses so: weighted, least-load, nearest or hash")
	f.IntVar(&pid, "pid", 0, "process that would dial (default the running servald)")
	cmd.RegisterFlagCompletionFunc("balance", completeBalance)
	return cmd
}

func (a *App) why(ctx context.Context, pid int, q nodectl.Question) error {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	c, err := a.ruler(ctx, pid)
	if err != nil {
		return err
	}
	e, err := c.Explain(ctx, q)
	if err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(e); err != nil {
			return err
		}
	} else {
		a.explain(c.Info, e)
	}
	switch e.Outcome {
	case nodectl.WouldDial, nodectl.WouldRun:
		return nil
	case nodectl.Refused:
		return fmt.Errorf("a dial of %s is %w", nodectl.Clean(e.Service), serval.ErrRefused)
	case nodectl.Unauthorized:
		return fmt.Errorf("a dial of %s is %w", nodectl.Clean(e.Service), serval.ErrNotAuthorized)
	}
	return fmt.Errorf("a dial of %s finds %w", nodectl.Clean(e.Service), resolver.ErrNoService)
}

// explain prints an explanation for people.
func (a *App) explain(asked nodectl.Info, e nodectl.Explanation) {
	steps := newTable(">", "STEP", "WHAT A DIAL BY "+nodectl.Clean(process(asked))+" FINDS AND DOES NOW")
	for i, s := range e.Steps {
		steps.row(strconv.Itoa(i+1), s.Step, s.Text)
	}
	a.print("%v", steps)
	if len(e.Candidates) > 0 {
		t := newTable(">", "CANDIDATE", "ADDRESSES", ">PRIORITY", ">WEIGHT", ">LOAD", ">RTT", "STANDING", ">SCORE", "BECAUSE")
		for i, c := range e.Candidates {
			t.row(candidateCells(i, c)...)
		}
		a.print("\n%v", t)
	}
	if len(e.Refusals) > 0 {
		t := newTable("REFUSED", "BY", "BECAUSE")
		for _, r := range e.Refusals {
			t.row(r.Time.Local().Format(time.TimeOnly), r.Addr.String(), r.Why)
		}
		a.print("\n%v", t)
	}
}

func candidateCells(i int, c nodectl.Candidate) []string {
	place, name, rtt := strconv.Itoa(i+1), c.Service, "-"
	if c.Excluded {
		place = "no"
	}
	if c.Node != "" {
		name = instanceName(c.Service, c.Node)
	}
	if c.Rule {
		name += " (rule)"
	}
	if c.RTT > 0 {
		rtt = seconds(c.RTT)
	}
	return []string{place, name, joined(c.Addrs, " "), fmt.Sprint(c.Priority), fmt.Sprint(c.Weight), fmt.Sprintf("%.2f", c.Load), rtt,
		c.Standing, fmt.Sprintf("%.3g", c.Score), c.Reason}
}
