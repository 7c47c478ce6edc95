package cli

import (
	"context"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/servald/internal/perf"
	"github.com/serval-net/serval/servald/internal/splice"
	"github.com/serval-net/serval/servald/internal/units"
)

func (a *App) perfCommand() *cobra.Command {
	var test perf.Test
	var serve bool
	p := &splice.Proxy{Handle: perf.Handle, MaxConns: 256}
	cmd := &cobra.Command{
		Use:   "perf NAME",
		Short: "Measure the throughput to a service that runs perf --serve",
		Long: `perf sends as fast as it can for a while and prints what the receiver got. Rows that
appear meanwhile count what this side wrote or read in each interval. Each stream is a
connection of its own, and may find another instance.

With --json, each row and the result are objects; rows have "from_s", the result has
"streams".`,
		Example: `  servald perf --serve svc:perf
  servald perf svc:perf --time 30s --parallel 4 --reverse`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(cmd.Context(), func(n node) error {
				if !serve {
					return a.measure(cmd.Context(), n, args[0], test)
				}
				ln, err := n.Listen(args[0])
				if err != nil {
					return err
				}
				a.note("measuring on %s", ln.Addr())
				return a.proxy(cmd.Context(), p, ln)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&serve, "serve", "s", false, "be the service that others measure against")
	f.DurationVarP(&test.Duration, "time", "t", 10*time.Second, "how long to send")
	f.IntVarP(&test.Streams, "parallel", "P", 1, "streams at once")
	f.BoolVarP(&test.Reverse, "reverse", "R", false, "let the service send")
	f.DurationVarP(&test.Interval, "interval", "i", time.Second, "time between rows")
	return cmd
}

func (a *App) measure(ctx context.Context, n node, name string, test perf.Test) error {
	dial := func(ctx context.Context) (net.Conn, error) {
		return a.dial(ctx, n, name, 10*time.Second)
	}
	row := func(r perf.Row) {
		if a.json {
			a.printJSON(r)
		} else {
			a.print("%v", r)
		}
	}
	res, err := perf.Run(ctx, dial, test, row)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(res)
	}
	if len(res.Streams) > 1 {
		for i, s := range res.Streams {
			a.print("stream %-3d         %12s %14s", i+1, units.Bytes(s.Bytes), units.Rate(units.BitsPerSecond(s.Bytes, s.Elapsed)))
		}
		a.print("fairness (Jain)    %.3f", res.Fairness())
	}
	a.print("received in %-6s %12s %14s", units.Duration(res.Elapsed), units.Bytes(res.Bytes), units.Rate(res.BitsPerSecond()))
	return nil
}
