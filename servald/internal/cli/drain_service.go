package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
)

// undrainInstances has instances on this host found again.
func (a *App) undrainInstances(ctx context.Context, text string) error {
	which, all, err := a.drainable(ctx, text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*askTimeout) // others are told
	defer cancel()
	service := which.service.String()
	n, err := addUp(all, func(c *nodectl.Client) (int, error) { return c.UndrainService(ctx, service) })
	if err == nil && !a.json {
		a.print("%s of %v may be dialled again", count(n, "instance", "instances"), which)
	}
	return err
}

// drainInstances empties instances on this host, as how says.
func (a *App) drainInstances(ctx context.Context, text string, how nodectl.ServiceDrain) error {
	which, all, err := a.drainable(ctx, text)
	if err != nil {
		return err
	}
	how.Service = which.service.String()
	if err := how.Check(); err != nil {
		return usageError{err}
	}
	var mu sync.Mutex
	var moved nodectl.Moved
	d := draining{app: a, what: which.String(), unit: [2]string{"connection", "connections"}}
	err = d.run(ctx, all, func(c *nodectl.Client, progress func(int)) error {
		m, err := c.DrainService(ctx, how, progress)
		mu.Lock()
		defer mu.Unlock()
		moved.Idle, moved.Busy = moved.Idle+m.Idle, moved.Busy+m.Busy
		return err
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s still open; new ones go elsewhere until servald drain --undo %v: %w", d.count(d.total()), which, ctx.Err())
	case err != nil:
		return err
	case a.json:
		return a.printJSON(drainState{What: d.what, Done: true, Idle: moved.Idle, Busy: moved.Busy})
	}
	if how.Move {
		a.print("%s", saidOfMove(moved, time.Duration(how.Grace)))
	}
	a.print("%v is drained: no connection is left, and new ones go elsewhere until servald drain --undo %v", which, which)
	return nil
}

// saidOfMove tells what --move has done.
func saidOfMove(m nodectl.Moved, grace time.Duration) string {
	idle, busy := count(m.Idle, "idle connection", "idle connections"), count(m.Busy, "connection", "connections")
	switch {
	case m == (nodectl.Moved{}):
		return "no connection had to be ended"
	case m.Busy == 0:
		return "ended " + idle + " for their clients to dial again, none in the middle of something"
	case m.Idle == 0:
		return fmt.Sprintf("ended %s for their clients to dial again, all in the middle of something after %v", busy, grace)
	}
	return fmt.Sprintf("ended %s for their clients to dial again, and after %v %s in the middle of something", idle, grace, busy)
}

// drainable returns which instances are meant and the processes that have them.
func (a *App) drainable(ctx context.Context, text string) (hereSelection, []*nodectl.Client, error) {
	which, err := parseHere(text)
	if err != nil {
		return which, nil, err
	}
	all, err := a.processesOf(ctx, which)
	return which, all, err
}

// withdrawnHere lists the instances of this host that are drained or suspended.
func (a *App) withdrawnHere(ctx context.Context) (names []string) {
	list, err := a.instancesHere(ctx, sal.Name{})
	a.noteError(err)
	for _, s := range list {
		if s.Withdrawn {
			names = append(names, nodectl.Clean(s.name()))
		}
	}
	return names
}

// completeDrain completes what can be drained.
func (a *App) completeDrain(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names, _ := completeInterfaces(cmd, args, word)
	services, _ := a.completeHere(cmd, args, word)
	return append(names, services...), cobra.ShellCompDirectiveNoFileComp
}
