package cli

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
)

// route is a rule of a process's service table as --json prints it.
type route struct {
	PID     int    `json:"pid"`
	Program string `json:"program"`
	Node    string `json:"node"`
	nodectl.Route
}

func (a *App) routesCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "routes [NAME]",
		Short: "List the service tables of this host's processes: where first packets go",
		Long: `routes lists the rules of the service table of each process of this host, servald among
them: DEMUX to a listener of the process, FORWARD to an instance or a service router
elsewhere, DELAY until a hook has found or started an instance, DROP. Rules come from a
listener, from servald rules, or were learnt from registrations.

With NAME only those are listed that a first packet for the name would meet, in the
order in which it would: the first that leads somewhere counts.

` + exitHelp,
		Example: `  servald routes
  servald routes svc:shop/cart --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			service := ""
			if len(args) > 0 {
				name, err := sal.ParseName(args[0])
				if err != nil {
					return usageError{err}
				}
				service = name.String()
			}
			if limit < 1 {
				return usageError{fmt.Errorf("--limit must be positive")}
			}
			return a.listRoutes(cmd.Context(), service, limit)
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 1000, "the most rules to list of one process")
	return cmd
}

func (a *App) listRoutes(ctx context.Context, service string, limit int) error {
	all, err := a.anyNodes(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	type table struct {
		list  []nodectl.Route
		total int
	}
	var mu sync.Mutex
	tables := make(map[*nodectl.Client]table)
	a.noteError(each(all, func(c *nodectl.Client) error {
		list, total, err := c.Routes(ctx, service, limit)
		mu.Lock()
		defer mu.Unlock()
		tables[c] = table{list, total}
		return err
	}))
	t := newTable("PROCESS", "SERVICE", "ACTION", "TO", ">PRIORITY", ">WEIGHT", ">PACKETS", "FROM", "ENDS IN")
	for _, c := range all {
		for _, r := range tables[c].list {
			if a.json {
				if err := a.printJSON(route{c.PID, c.Program, c.Node, r}); err != nil {
					return err
				}
				continue
			}
			to := ruleTarget(r.Rule)
			if r.Action == nodectl.Demux {
				to = "here"
			}
			t.row(process(c.Info), cmp.Or(r.Service, r.Prefix), r.Action, to, fmt.Sprint(r.Priority), fmt.Sprint(r.Weight),
				fmt.Sprint(r.Packets), r.Origin, endsIn(r.TTL))
		}
	}
	a.printTable(t, "no routes")
	for _, c := range all {
		if more := tables[c].total - len(tables[c].list); more > 0 {
			a.note("%s has %d more; list them with --limit %d", process(c.Info), more, tables[c].total)
		}
	}
	return nil
}
