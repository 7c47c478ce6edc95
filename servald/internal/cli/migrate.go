package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

// moveResult is what migrate prints with --json.
type moveResult struct {
	Moved int    `json:"moved"`
	To    string `json:"to"`
}

func (a *App) migrateCommand() *cobra.Command {
	var to string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "migrate (conn|flow|service|iface) WHAT --to (IFACE|ADDR)",
		Short: "Move live connections to another interface or address of this host",
		Long: `migrate moves flows of running connections to an address of this host, or to an
interface, whatever process they belong to. Applications notice nothing. It returns when
the other ends have confirmed the new paths.

What moves is a connection with all its flows, one flow, every connection of a service,
or every flow on an interface. IDs are those that servald flows prints; the beginning of
one will do if no other has it.

` + exitHelp,
		Example: `  servald migrate conn 3f9a --to eth1
  servald migrate flow 3f9a1c02/1 --to 192.0.2.7
  servald migrate service svc:web --to eth1
  servald migrate iface eth0 --to eth1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageError{errors.New("say what to migrate: conn, flow, service or iface")}
		},
	}
	f := cmd.PersistentFlags()
	f.StringVar(&to, "to", "", "interface or local address to move to")
	f.DurationVarP(&timeout, "timeout", "t", 10*time.Second, "give up after this time; what has moved by then stays moved")
	cmd.RegisterFlagCompletionFunc("to", completeInterfaces)

	sub := func(use, short, example string, complete cobra.CompletionFunc, f func(ctx context.Context, what string, to nodectl.Target) error) {
		cmd.AddCommand(&cobra.Command{
			Use: use + " --to (IFACE|ADDR)", Short: short, Example: "  servald migrate " + example,
			Args: cobra.ExactArgs(1), ValidArgsFunction: first(complete),
			RunE: func(cmd *cobra.Command, args []string) error {
				if to == "" {
					return usageError{errors.New("say where to: --to with an interface or a local address")}
				}
				target, err := nodectl.ParseTarget(to)
				if err != nil {
					return usageError{fmt.Errorf("--to: %w", err)}
				}
				ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
				defer cancel()
				return f(ctx, args[0], target)
			},
		})
	}
	sub("conn ID", "Move a connection with all its flows", "conn 3f9a1c02 --to eth1", a.completeConns, a.migrateConn)
	sub("flow ID/INDEX", "Move one flow", "flow 3f9a1c02/1 --to eth1", a.completeFlows, a.migrateFlow)
	sub("service NAME", "Move all connections of a service, dialled and accepted", "service svc:web --to eth1", a.completeUsedServices, a.migrateService)
	sub("iface IFACE", "Move all flows on an interface", "iface eth0 --to eth1", completeInterfaces, a.migrateInterface)
	return cmd
}

func (a *App) migrateConn(ctx context.Context, id string, to nodectl.Target) error {
	c, err := a.find(ctx, id)
	if err != nil {
		return err
	}
	return a.migrate(ctx, []*nodectl.Client{c.client}, nodectl.Selection{Conn: c.ID}, to)
}

func (a *App) migrateFlow(ctx context.Context, text string, to nodectl.Target) error {
	id, number, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return usageError{fmt.Errorf("%q is not a flow: write ID/INDEX, as servald flows does", text)}
	}
	c, err := a.find(ctx, id)
	if err != nil {
		return err
	}
	index := uint8(n)
	for _, f := range c.Flows {
		if f.Index == index {
			return a.migrate(ctx, []*nodectl.Client{c.client}, nodectl.Selection{Conn: c.ID, Flow: &index}, to)
		}
	}
	return fmt.Errorf("connection %s has no flow %d", c.ID, index)
}

func (a *App) migrateService(ctx context.Context, name string, to nodectl.Target) error {
	all, s, err := a.selectService(ctx, name)
	if err != nil {
		return err
	}
	return a.migrate(ctx, all, s, to)
}

// selectService returns the nodes with connections of a service, of which there must
// be one.
func (a *App) selectService(ctx context.Context, name string) (with []*nodectl.Client, s nodectl.Selection, err error) {
	if s, err = serviceFilter(name); err != nil {
		return nil, s, err
	}
	all, err := a.someNodes(ctx)
	if err != nil {
		return nil, s, err
	}
	list, err := a.connections(ctx, all)
	a.noteError(err)
	seen := make(map[*nodectl.Client]bool)
	for _, c := range list {
		if s.MatchConn(c.ID, c.Service) && !seen[c.client] {
			seen[c.client] = true
			with = append(with, c.client)
		}
	}
	if len(with) == 0 {
		return nil, s, fmt.Errorf("no process of this host has a connection of %s", s.Service)
	}
	return with, s, nil
}

func (a *App) migrateInterface(ctx context.Context, iface string, to nodectl.Target) error {
	if err := nodectl.CheckInterface(iface); err != nil {
		return usageError{err}
	}
	if iface == to.Interface {
		return usageError{fmt.Errorf("%s is where the flows are: name another with --to", iface)}
	}
	all, err := a.someNodes(ctx)
	if err != nil {
		return err
	}
	return a.migrate(ctx, all, nodectl.Selection{Interface: iface}, to)
}

// migrate asks the nodes, and tells what was moved even if some failed.
func (a *App) migrate(ctx context.Context, all []*nodectl.Client, s nodectl.Selection, to nodectl.Target) error {
	moved, err := addUp(all, func(c *nodectl.Client) (int, error) { return c.Migrate(ctx, s, to) })
	switch {
	case err != nil && moved == 0:
	case a.json:
		a.printJSON(moveResult{moved, to.String()})
	default:
		a.print("moved %s to %v", count(moved, "flow", "flows"), to)
	}
	return err
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
