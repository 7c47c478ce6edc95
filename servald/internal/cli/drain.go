package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

// drainState is what drain prints with --json, whenever it changes.
type drainState struct {
	What string `json:"what"`
	Left int    `json:"left"` // flows or, of a service or node, connections
	Done bool   `json:"done"`

	// With --move and Done: the connections that were ended, by themselves or
	// closed by others not counted.
	Idle int `json:"ended_idle,omitempty"`
	Busy int `json:"ended_busy,omitempty"` // in the middle of something
}

func (a *App) drainCommand() *cobra.Command {
	var timeout, grace time.Duration
	var undo, move bool
	cmd := &cobra.Command{
		Use:   "drain (IFACE|ADDR|SERVICE[#NODE]|#NODE)",
		Short: "Empty an interface or address, or instances of a service, and keep new ones away",
		Long: `drain prepares an interface, or one address of this host, for being taken away: every
process moves its flows off it and uses it for no new ones, even processes that start
later. drain says how many flows are left and returns when the last has left.

With a service it prepares its instances on this host for being stopped, or the one
that is named with its node, svc:web#k5x2mqpa, or all of a node, #k5x2mqpa: they are withdrawn
and take no new connections, which go to other instances. drain says how many
connections are left and returns when the last has ended.

With --move it does not wait for clients that keep their connections: it ends these, so
that the clients dial again and find another instance. Idle ones end at once: when the
client has the whole of the last answer, and for a second nothing came or went. Those in
the middle of something get the time of --grace. Their clients see a connection reset.

What is drained stays so, also when drain gives up or is interrupted, until --undo;
of a service, until its process ends. Without an argument drain lists what is.

` + exitHelp,
		Example: `  servald drain eth0 --timeout 1m && ip link set eth0 down
  servald drain --undo eth0
  servald drain svc:web --timeout 5m && systemctl stop web
  servald drain svc:db --move --grace 30s && systemctl stop postgresql
  servald drain`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: first(a.completeDrain),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if undo {
					return usageError{errors.New("name the interface or address to use again")}
				}
				return a.listDrained(cmd.Context())
			}
			service := strings.HasPrefix(args[0], "svc:") || strings.Contains(args[0], "#")
			switch {
			case cmd.Flags().Changed("grace") && !move:
				return usageError{errors.New("--grace is for --move: how long connections in the middle of something may go on")}
			case move && undo:
				return usageError{errors.New("what --move has ended cannot be undone; leave it away to have the instance found again")}
			case move && !service:
				return usageError{errors.New("--move is for instances of services, and ends connections; those on an interface move without it")}
			}
			ctx := cmd.Context()
			if timeout > 0 && !undo {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			if service && undo {
				return a.undrainInstances(ctx, args[0])
			} else if service {
				d := nodectl.ServiceDrain{Move: move}
				if move {
					d.Grace = nodectl.Duration(grace)
				}
				return a.drainInstances(ctx, args[0], d)
			}
			target, err := nodectl.ParseTarget(args[0])
			if err != nil {
				return usageError{err}
			}
			if undo {
				return a.undrain(ctx, target.String())
			}
			return a.drain(ctx, target.String())
		},
	}
	cmd.Flags().DurationVarP(&timeout, "timeout", "t", 0, "give up after this time; 0 waits as long as it takes")
	cmd.Flags().BoolVar(&undo, "undo", false, "let flows use it again")
	cmd.Flags().BoolVar(&move, "move", false, "of a service: end connections, so that their clients dial other instances")
	cmd.Flags().DurationVar(&grace, "grace", 5*time.Second, "with --move: how long those in the middle of something may go on")
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
	d := draining{app: a, what: what, unit: [2]string{"flow", "flows"}}
	err := d.run(ctx, all, func(c *nodectl.Client, progress func(int)) error { return c.Drain(ctx, what, progress) })
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s still on %s; new ones avoid it until servald drain --undo %s: %w", d.count(d.total()), what, what, ctx.Err())
	case err != nil || unseen != nil: // it may not be free
		return errors.Join(err, unseen)
	case a.json:
		return a.printJSON(drainState{What: what, Done: true})
	}
	a.print("%s is free: no flow is left, and new ones avoid it until servald drain --undo %s", what, what)
	return nil
}

// draining adds up what the nodes say during a drain.
type draining struct {
	app   *App
	what  string
	unit  [2]string // of what is left: one, several
	nodes int

	mu   sync.Mutex
	left map[*nodectl.Client]int
	last int // that was shown
}

// run drains all nodes at the same time.
func (d *draining) run(ctx context.Context, all []*nodectl.Client, drain func(c *nodectl.Client, progress func(left int)) error) error {
	d.left, d.nodes, d.last = make(map[*nodectl.Client]int), len(all), -1
	return each(all, func(c *nodectl.Client) error {
		err := drain(c, func(n int) { d.set(c, n) })
		if err != nil && ctx.Err() == nil {
			d.set(c, 0) // it does not count
		}
		return err
	})
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
		d.app.printJSON(drainState{What: d.what, Left: sum})
	} else {
		d.app.note("%s left on %s", d.count(sum), d.what)
	}
}

func (d *draining) count(n int) string { return count(n, d.unit[0], d.unit[1]) }

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

func (a *App) listDrained(ctx context.Context) error {
	list := a.withdrawnHere(ctx)
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
