package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

// hostPath is a pair of addresses as all processes of the host see it.
type hostPath struct {
	nodectl.Path
	Processes int `json:"processes"`
}

func (a *App) pathsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "paths",
		Short: "List the pairs of addresses over which this host's flows go, and how they do",
		Long: `paths adds up the flows of all processes of this host by interface, local and remote
address: the best state among them, the least round trip, the mean loss, and the sum of
the rates that they are believed to deliver.`,
		Example: `  servald paths
  servald paths --json | jq 'select(.loss > 0.01)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.hostPaths(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("INTERFACE", "LOCAL", "REMOTE", "STATE", ">FLOWS", ">PROCESSES", ">RTT", ">LOSS", ">RATE")
			for _, p := range list {
				if a.json {
					if err := a.printJSON(p); err != nil {
						return err
					}
					continue
				}
				t.row(p.Interface, p.Local.String(), p.Remote.String(), p.State, fmt.Sprint(p.Flows), fmt.Sprint(p.Processes),
					seconds(p.RTT), percent(p.Loss), rate(p.Rate))
			}
			a.printTable(t, "no paths")
			return nil
		},
	}
}

// hostPaths returns the paths of all nodes that answer, added up.
func (a *App) hostPaths(ctx context.Context) ([]hostPath, error) {
	all, err := a.anyNodes(ctx) // a process that hangs takes all of its time
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	type key struct {
		iface         string
		local, remote netip.Addr
	}
	var mu sync.Mutex
	sums := make(map[key]*hostPath)
	a.noteError(each(all, func(c *nodectl.Client) error {
		paths, err := c.Paths(ctx)
		mu.Lock()
		defer mu.Unlock()
		for _, p := range paths {
			k := key{p.Interface, p.Local, p.Remote}
			if sum := sums[k]; sum == nil {
				sums[k] = &hostPath{p, 1}
			} else {
				sum.add(p)
			}
		}
		return err
	}))
	list := make([]hostPath, 0, len(sums))
	for _, p := range sums {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(x, y hostPath) int {
		return cmp.Or(cmp.Compare(x.Interface, y.Interface), x.Local.Compare(y.Local), x.Remote.Compare(y.Remote))
	})
	return list, nil
}

// states orders the states of paths: the first that one process sees is what counts.
var states = []string{"drained", "active", "suspect", "pending", "down", "parked"}

func (h *hostPath) add(p nodectl.Path) {
	if flows := h.Flows + p.Flows; flows > 0 {
		h.Loss = (h.Loss*float64(h.Flows) + p.Loss*float64(p.Flows)) / float64(flows)
	}
	if p.RTT > 0 && (h.RTT == 0 || p.RTT < h.RTT) {
		h.RTT = p.RTT
	}
	if i := slices.Index(states, p.State); i >= 0 && i < slices.Index(states, h.State) {
		h.State = p.State
	}
	h.Flows += p.Flows
	h.Rate += p.Rate
	h.Processes++
}
