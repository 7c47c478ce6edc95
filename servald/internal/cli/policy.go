package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

// policyResult is what policy prints with --json.
type policyResult struct {
	Changed int    `json:"changed"`
	Policy  string `json:"policy"`
}

func (a *App) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy (conn|service) WHAT POLICY",
		Short: "Change how live connections use their flows",
		Long: `policy changes how running connections use their flows from now on:

  aggregate      all flows carry data at once
  failover       the cheapest and fastest carries all, the others are kept warm
  redundant      every byte goes on two flows or more
  pinned:IFACE   only flows on this interface carry data

` + exitHelp,
		Example: `  servald policy conn 3f9a failover
  servald policy service svc:backup pinned:eth1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageError{errors.New("say whose policy to change: conn or service")}
		},
	}
	sub := func(use, short, example string, complete cobra.CompletionFunc, find func(context.Context, string) ([]*nodectl.Client, nodectl.Selection, error)) {
		cmd.AddCommand(&cobra.Command{
			Use: use + " POLICY", Short: short, Example: "  servald policy " + example,
			Args: cobra.ExactArgs(2), ValidArgsFunction: completePolicy(complete),
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := nodectl.CheckPolicy(args[1]); err != nil {
					return usageError{err}
				}
				ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
				defer cancel()
				all, s, err := find(ctx, args[0])
				if err != nil {
					return err
				}
				return a.setPolicy(ctx, all, s, args[1])
			},
		})
	}
	sub("conn ID", "Change the policy of one connection", "conn 3f9a1c02 redundant", a.completeConns,
		func(ctx context.Context, id string) ([]*nodectl.Client, nodectl.Selection, error) {
			c, err := a.find(ctx, id)
			return []*nodectl.Client{c.client}, nodectl.Selection{Conn: c.ID}, err
		})
	sub("service NAME", "Change the policy of all connections of a service", "service svc:web failover", a.completeUsedServices, a.selectService)
	return cmd
}

func (a *App) setPolicy(ctx context.Context, all []*nodectl.Client, s nodectl.Selection, policy string) error {
	changed, err := addUp(all, func(c *nodectl.Client) (int, error) { return c.SetPolicy(ctx, s, policy) })
	switch {
	case err != nil && changed == 0:
	case a.json:
		a.printJSON(policyResult{changed, policy})
	default:
		a.print("%s: %s", count(changed, "connection", "connections"), policy)
	}
	if err == nil && changed == 0 {
		err = errors.New("the connections have ended meanwhile")
	}
	return err
}
