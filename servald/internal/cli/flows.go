package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/units"
)

func (a *App) flowsCommand() *cobra.Command {
	var service string
	var watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "List the connections of this host's processes and the flows they consist of",
		Long: `flows asks every process of this host that uses Serval, servald's own commands among
them, for its connections. Each has a line of its own and below it one for each flow:
state, addresses, round trip, loss, the rate that the path is believed to deliver, cost,
bytes on the wire, and how often it has moved. A connection's ID and a flow's ID/INDEX are what
migrate and policy take.

A user sees processes of their own; root sees all. With --json each line is a connection.`,
		Example: `  servald flows
  servald flows --service 'svc:shop/*' --watch
  servald flows --json | jq -r 'select(.longest_stall_s > 1).id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			only, err := serviceFilter(service)
			if err != nil {
				return err
			}
			show := func(ctx context.Context) error { return a.showFlows(ctx, only) }
			if !watch {
				return show(cmd.Context())
			}
			if interval <= 0 {
				return usageError{fmt.Errorf("the interval must be positive")}
			}
			return a.watch(cmd.Context(), interval, show)
		},
	}
	f := cmd.Flags()
	serviceFlag(a, cmd, &service)
	f.BoolVarP(&watch, "watch", "w", false, "show them again and again until interrupted")
	f.DurationVarP(&interval, "interval", "i", time.Second, "time between two showings with --watch")
	return cmd
}

// serviceFlag adds --service, of which serviceFilter makes a selection.
func serviceFlag(a *App, cmd *cobra.Command, service *string) {
	cmd.Flags().StringVarP(service, "service", "s", "", "only connections of this service, such as svc:web or svc:shop/*")
	cmd.RegisterFlagCompletionFunc("service", a.completeUsedServices)
}

func serviceFilter(service string) (s nodectl.Selection, err error) {
	if service == "" {
		return s, nil
	}
	name, err := sal.ParseName(service)
	if err != nil {
		return s, usageError{err}
	}
	s.Service = name.String()
	return s, nil
}

// showFlows prints the connections that are selected.
func (a *App) showFlows(ctx context.Context, only nodectl.Selection) error {
	all, err := a.anyNodes(ctx)
	if err != nil {
		return err
	}
	list, err := a.connections(ctx, all)
	a.noteError(err)
	t := newTable("FLOW", "STATE", "INTERFACE", "LOCAL", "REMOTE", ">RTT", ">LOSS", ">RATE", ">COST", ">SENT", ">RECEIVED", ">AGE", ">MOVES")
	for _, c := range list {
		switch {
		case !only.MatchConn(c.ID, c.Service):
		case a.json:
			if err := a.printJSON(c); err != nil {
				return err
			}
		default:
			t.row(headingOf(c))
			for _, f := range c.Flows {
				t.row(flowCells(c.ID, f)...)
			}
		}
	}
	a.printTable(t, "no connections")
	return nil
}

// headingOf is the line about a connection above those about its flows.
func headingOf(c connection) string {
	peer := instanceName("", c.Peer.Node)
	if c.Peer.Name != "" {
		peer += " (" + c.Peer.Name + ")"
	}
	what := fmt.Sprintf("accepted %s from %s", c.Service, peer)
	if c.Dialled {
		what = fmt.Sprintf("dialled %s%s", c.Service, peer)
	}
	s := fmt.Sprintf("%s: %s %s %s ago, %s, sent %s, received %s", c.ID, process(c.client.Info), what, seconds(c.Age),
		c.Policy, size(c.StreamSent), size(c.StreamReceived))
	if c.LongestStall > 0 {
		s += ", longest stall " + seconds(c.LongestStall)
	}
	return s
}

func flowCells(conn string, f nodectl.Flow) []string {
	cost := fmt.Sprint(f.Cost)
	if f.Cost == nodectl.NeverCost {
		cost = "never"
	}
	return []string{
		fmt.Sprintf("%s/%d", conn, f.Index), f.State, f.Interface, address(f.Local), address(f.Remote),
		seconds(f.RTT), percent(f.Loss), rate(f.Rate), cost, size(f.BytesSent), size(f.BytesReceived), seconds(f.Age), fmt.Sprint(f.Moves),
	}
}

// address is empty for a flow that has none, being parked.
func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func seconds(d nodectl.Duration) string  { return units.Duration(time.Duration(d)) }
func size(n uint64) string               { return units.Bytes(int64(min(n, 1<<63-1))) }
func percent(part float64) string        { return fmt.Sprintf("%.1f%%", 100*part) }
func rate(bytesPerSecond float64) string { return units.Rate(8 * bytesPerSecond) }

// watch runs show once each interval until ctx is done, each time on a clean screen if
// there is one.
func (a *App) watch(ctx context.Context, interval time.Duration, show func(context.Context) error) error {
	out, ok := a.out.(*os.File)
	clear := ok && !a.json && term.IsTerminal(int(out.Fd()))
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for first := true; ; first = false {
		switch {
		case clear:
			a.print("\x1b[H\x1b[2J%s", time.Now().Format(time.TimeOnly))
		case !first && !a.json:
			a.print("")
		}
		if err := show(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
