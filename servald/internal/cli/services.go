package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
)

// instance is one instance of a service as --json prints it.
type instance struct {
	Service  string          `json:"service"`
	Instance string          `json:"instance"` // as connections to it print it
	Node     string          `json:"node"`
	Addrs    []string        `json:"addrs"`
	Weight   int             `json:"weight"`
	Priority int             `json:"priority"`
	Load     float64         `json:"load"`
	Balance  string          `json:"balance,omitempty"`
	Keys     []sal.KeyPrefix `json:"keys,omitempty"`
	Suspect  bool            `json:"suspect,omitempty"`
	Rule     bool            `json:"rule,omitempty"`
	Expires  time.Time       `json:"expires,omitzero"`
}

// here is an instance in a process of this host as --json prints it.
type here struct {
	PID     int    `json:"pid"`
	Program string `json:"program"`
	Node    string `json:"node"`
	nodectl.Listener
}

func (a *App) servicesCommand() *cobra.Command {
	var local bool
	cmd := &cobra.Command{
		Use:   "services [NAME]",
		Short: "List the instances of all services, or of one",
		Long: `services lists what gossip knows, and for one NAME what the rules of the running servald
make of it, as a dial would: hooks of DELAY rules run. An instance that is listed may
have crashed a moment ago; dialling tells. servald why says which one a dial would get.

With --here it asks the processes of this host what they serve: how busy they are, how
many connections they have, and how many first packets came.

` + exitHelp,
		Example: `  servald services
  servald services svc:web --json
  servald services --here`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			var name sal.Name
			if len(args) > 0 {
				var err error
				if name, err = sal.ParseName(args[0]); err != nil {
					return usageError{err}
				}
			}
			if local {
				return a.listHere(cmd.Context(), name)
			}
			return a.withDaemon(func(c *control.Client) error {
				var found []resolver.Instance
				var err error
				if name.IsZero() {
					found, err = c.Services(cmd.Context())
				} else {
					found, err = c.Resolve(cmd.Context(), name)
				}
				if err != nil {
					return err
				}
				return a.listServices(found)
			})
		},
	}
	cmd.Flags().BoolVar(&local, "here", false, "what the processes of this host serve, with statistics")
	return cmd
}

func (a *App) listServices(found []resolver.Instance) error {
	slices.SortFunc(found, func(x, y resolver.Instance) int {
		return cmp.Or(cmp.Compare(x.Service.String(), y.Service.String()), cmp.Compare(x.Node.String(), y.Node.String()))
	})
	t := newTable("INSTANCE", "ADDRESSES", ">WEIGHT", ">PRIORITY", ">LOAD", "BALANCE", "KEYS", "")
	for _, in := range found {
		out := instance{Service: in.Service.String(), Instance: in.Service.String(), Weight: max(in.Weight, 1), Priority: in.Priority,
			Load: in.Load, Keys: in.Keys, Suspect: in.Suspect, Rule: in.Rule, Expires: in.Expires}
		if in.Node != (identity.NodeID{}) {
			out.Node = in.Node.String()
			out.Instance = instanceName(out.Service, out.Node)
		}
		if in.Balance != resolver.BalanceDefault {
			out.Balance = in.Balance.String()
		}
		for _, addr := range in.Addrs {
			out.Addrs = append(out.Addrs, addr.String())
		}
		if a.json {
			if err := a.printJSON(out); err != nil {
				return err
			}
			continue
		}
		t.row(out.Instance, strings.Join(out.Addrs, " "), fmt.Sprint(out.Weight), fmt.Sprint(out.Priority),
			fmt.Sprintf("%.2f", out.Load), out.Balance, joined(out.Keys, ","), standing(out))
	}
	a.printTable(t, "no services")
	return nil
}

// standing is what there is to remark about an instance.
func standing(in instance) string {
	switch {
	case in.Rule:
		return "by a rule"
	case in.Suspect:
		return "does not answer"
	}
	return " "
}

// listHere lists what the processes of this host serve.
func (a *App) listHere(ctx context.Context, name sal.Name) error {
	list, err := a.instancesHere(ctx, name)
	if err != nil {
		return err
	}
	t := newTable("INSTANCE", "PROCESS", ">WEIGHT", ">PRIORITY", ">LOAD", ">CONNS", ">WAITING", ">CAME", "KEYS", "")
	for _, s := range list {
		if a.json {
			if err := a.printJSON(s.here); err != nil {
				return err
			}
			continue
		}
		remark := " "
		if s.Withdrawn {
			remark = "withdrawn"
		}
		t.row(s.name(), process(s.client.Info), fmt.Sprint(s.Weight), fmt.Sprint(s.Priority), fmt.Sprintf("%.2f", s.Load),
			fmt.Sprint(s.Connections), fmt.Sprint(s.Waiting), fmt.Sprint(s.Packets), joined(s.Keys, ","), remark)
	}
	a.printTable(t, "no process of this host serves it")
	return nil
}

// serving is an instance here and how to reach its process.
type serving struct {
	here
	client *nodectl.Client
}

func (s serving) name() string { return instanceName(s.Service, s.Node) }

// instanceName is how connections to an instance print it.
func instanceName(service, node string) string { return service + "#" + node[:min(len(node), 8)] }

// instancesHere returns what the processes of this host serve: what a name covers,
// or everything for the zero name.
func (a *App) instancesHere(ctx context.Context, name sal.Name) ([]serving, error) {
	all, err := a.anyNodes(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	var list []serving
	a.noteError(each(all, func(c *nodectl.Client) error {
		found, err := c.Listeners(ctx)
		mu.Lock()
		defer mu.Unlock()
		for _, l := range found {
			if has, perr := sal.ParseName(l.Service); perr == nil && (name.IsZero() || name.Covers(has)) {
				list = append(list, serving{here{c.PID, c.Program, c.Node, l}, c})
			}
		}
		return err
	}))
	slices.SortFunc(list, func(x, y serving) int {
		return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.PID, y.PID), cmp.Compare(x.Node, y.Node))
	})
	return list, nil
}
