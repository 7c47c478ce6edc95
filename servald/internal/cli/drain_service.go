package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
)

// drainInstances empties instances on this host, or ends that.
func (a *App) drainInstances(ctx context.Context, text string, undo bool) error {
	which, err := parseHere(text)
	if err != nil {
		return err
	}
	all, err := a.processesOf(ctx, which)
	if err != nil {
		return err
	}
	service := which.service.String()
	if undo {
		ctx, cancel := context.WithTimeout(ctx, 3*askTimeout) // others are told
		defer cancel()
		n, err := addUp(all, func(c *nodectl.Client) (int, error) { return c.UndrainService(ctx, service) })
		if err == nil && !a.json {
			a.print("%s of %v may be dialled again", count(n, "instance", "instances"), which)
		}
		return err
	}
	d := draining{app: a, what: which.String(), unit: [2]string{"connection", "connections"}}
	err = d.run(ctx, all, func(c *nodectl.Client, progress func(int)) error { return c.DrainService(ctx, service, progress) })
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s still open; new ones go elsewhere until servald drain --undo %v: %w", d.count(d.total()), which, ctx.Err())
	case err != nil:
		return err
	case a.json:
		return a.printJSON(drainState{d.what, 0, true})
	}
	a.print("%v is drained: no connection is left, and new ones go elsewhere until servald drain --undo %v", which, which)
	return nil
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
