package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
)

// instance is one instance of a service as --json prints it.
type instance struct {
	Service  string    `json:"service"`
	Instance string    `json:"instance"` // as connections to it print it
	Node     string    `json:"node"`
	Addrs    []string  `json:"addrs"`
	Weight   int       `json:"weight"`
	Priority int       `json:"priority"`
	Expires  time.Time `json:"expires,omitzero"`
}

func (a *App) servicesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "services [NAME]",
		Short: "List the instances of all services, or of one, that the running servald knows",
		Long: `services lists what gossip knows. An instance that is listed may have crashed a moment
ago; dialling tells.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withDaemon(func(c *control.Client) error {
				var found []resolver.Instance
				var err error
				if len(args) == 0 {
					found, err = c.Services(cmd.Context())
				} else {
					var name sal.Name
					if name, err = sal.ParseName(args[0]); err != nil {
						return usageError{err}
					}
					found, err = c.Resolve(cmd.Context(), name)
				}
				if err != nil {
					return err
				}
				return a.listServices(found)
			})
		},
	}
}

func (a *App) listServices(found []resolver.Instance) error {
	slices.SortFunc(found, func(x, y resolver.Instance) int {
		return cmp.Or(cmp.Compare(x.Service.String(), y.Service.String()), cmp.Compare(x.Node.String(), y.Node.String()))
	})
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, in := range found {
		out := instance{Service: in.Service.String(), Instance: in.Service.String() + "#" + in.Node.Short(),
			Node: in.Node.String(), Weight: max(in.Weight, 1), Priority: in.Priority, Expires: in.Expires}
		for _, addr := range in.Addrs {
			out.Addrs = append(out.Addrs, addr.String())
		}
		if a.json {
			if err := a.printJSON(out); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\n", out.Instance, strings.Join(out.Addrs, " "))
	}
	t.Flush()
	if text.Len() > 0 {
		a.print("%s", strings.TrimSuffix(text.String(), "\n"))
	}
	return nil
}
