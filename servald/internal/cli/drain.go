package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

// drainState is what drain prints with --json, whenever it changes.
type drainState struct {
	What string `json:"what"`
	Left int    `json:"left"` // flows
	Done bool   `json:"done"`
}

func (a *App) drainCommand() *cobra.Command {
	var timeout time.Duration
	var undo bool
	cmd := &cobra.Command{
		Use:   "drain (IFACE|ADDR)",
		Short: "Move all flows off an interface or address, and keep new ones away",
		Long: `drain prepares an interface, or one address of this host, for being taken away: every
process moves its flows off it and uses it for no new ones, even processes that start
later. drain says how many flows are left and returns when the last has left.

What is drained stays so, also when drain gives up or is interrupted, until --undo.
Without an argument drain lists what is.

` + exitHelp,
		Example: `  servald drain eth0 --timeout 1m && ip link set eth0 down
  servald drain --undo eth0
  servald drain`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: first(completeInterfaces),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if undo {
					return usageError{errors.New("name the interface or address to use again")}
				}
				return a.listDrained()
			}
			target, err := nodectl.ParseTarget(args[0])
			if err != nil {
				return usageError{err}
			}
			if undo {
				return a.undrain(cmd.Context(), target.String())
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			return a.drain(ctx, target.String())
		},
	}
	cmd.Flags().DurationVarP(&timeout, "timeout", "t", 0, "give up after this time; 0 waits as long as it takes")
	cmd.Flags().BoolVar(&undo, "undo", false, "let flows use it again")
	return cmd
}

// mark notes for processes that start later whether something is drained.
func (a *App) mark(what string, drained bool) error {
	var errs []error
	dirs, own := a.nodeDirs()
	for _, dir := range dirs[:own] {
		errs = append(errs, nodectl.Mark(dir, what, drained))
	}
	return errors.Join(errs...)
}

func (a *App) drain(ctx context.Context, what string) error {
	if err := a.mark(what, true); err != nil {
		return err
	}
	all, unseen := a.nodes(ctx)
	d := draining{app: a, what: what, left: make(map[*nodectl.Client]int), nodes: len(all), last: -1}
	err := each(all, func(c *nodectl.Client) error {
		err := c.Drain(ctx, what, func(n int) { d.set(c, n) })
		if err != nil && ctx.Err() == nil {
			d.set(c, 0) // it does not count
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s still on %s; new ones avoid it until servald drain --undo %s: %w", count(d.total(), "flow", "flows"), what, what, ctx.Err())
	case err != nil || unseen != nil: // it may not be free
		return errors.Join(err, unseen)
	case a.json:
		return a.printJSON(drainState{what, 0, true})
	}
	a.print("%s is free: no flow is left, and new ones avoid it until servald drain --undo %s", what, what)
	return nil
}

// draining adds up what the nodes say during a drain.
type draining struct {
	app   *App
	what  string
	nodes int

	mu   sync.Mutex
	left map[*nodectl.Client]int
	last int // that was shown
}

func (d *draining) set(c *nodectl.Client, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left[c] = n
	if len(d.left) < d.nodes {
		return // not all have counted
	}
	sum := d.sum()
	if sum == d.last || sum == 0 { // the end is told by whoever waits for it
		return
	}
	d.last = sum
	if d.app.json {
		d.app.printJSON(drainState{d.what, sum, false})
	} else {
		d.app.note("%s left on %s", count(sum, "flow", "flows"), d.what)
	}
}

func (d *draining) sum() (sum int) {
	for _, n := range d.left {
		sum += n
	}
	return sum
}

func (d *draining) total() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sum()
}

func (a *App) undrain(ctx context.Context, what string) error {
	if err := a.mark(what, false); err != nil {
		return err
	}
	all, unseen := a.nodes(ctx)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := errors.Join(unseen, each(all, func(c *nodectl.Client) error { return c.Undrain(ctx, what) }))
	if err == nil && !a.json {
		a.print("%s is used again", what)
	}
	return err
}

func (a *App) listDrained() error {
	var list []string
	dirs, _ := a.nodeDirs()
	for _, dir := range dirs {
		list = append(list, nodectl.Marks(dir)...)
	}
	slices.Sort(list)
	for _, what := range slices.Compact(list) {
		if !a.json {
			a.print("%s", what)
		} else if err := a.printJSON(struct {
			What string `json:"what"`
		}{what}); err != nil {
			return err
		}
	}
	return nil
}
