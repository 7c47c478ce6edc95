package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/servald/internal/units"
)

// pong is the outcome of one ping.
type pong struct {
	Seq      int    `json:"seq"`
	Instance string `json:"instance,omitempty"`
	Underlay string `json:"underlay,omitempty"`
	// Open is how long it took until the connection could be used, in seconds.
	Open float64 `json:"open_s,omitempty"`
	// RTT is a round trip on the open connection, in seconds.
	RTT   float64 `json:"rtt_s,omitempty"`
	Error string  `json:"error,omitempty"`
}

func (a *App) pingCommand() *cobra.Command {
	var count int
	var interval, timeout time.Duration
	cmd := &cobra.Command{
		Use:   "ping NAME",
		Short: "Open connections to a service and show which instance answered how fast",
		Long: `ping opens a connection to the service, as any program would, and closes it again, once
each interval. It shows the instance that answered, how long the connection took to
open, and a round trip on it. It fails if no connection could be opened.`,
		Example:           `  servald ping svc:web --count 10 --interval 100ms`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 || interval <= 0 {
				return usageError{fmt.Errorf("the count and the interval of pings must be positive")}
			}
			return a.withNode(cmd.Context(), func(n node) error {
				return a.ping(cmd.Context(), n, args[0], count, interval, timeout)
			})
		},
	}
	f := cmd.Flags()
	f.IntVarP(&count, "count", "c", 4, "pings to send; 0 goes on until interrupted")
	f.DurationVarP(&interval, "interval", "i", time.Second, "time between pings")
	f.DurationVarP(&timeout, "timeout", "t", 10*time.Second, "give up a ping after this time")
	return cmd
}

func (a *App) ping(ctx context.Context, n node, name string, count int, interval, timeout time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var opens []time.Duration
	var last error
	sent := 0
	for ctx.Err() == nil && (count == 0 || sent < count) {
		if sent > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				continue
			}
		}
		sent++
		open, err := a.pingOnce(ctx, n, name, sent, timeout)
		if err == nil {
			opens = append(opens, open)
		} else if ctx.Err() == nil {
			last = err
		}
	}
	if !a.json && len(opens) > 0 {
		slices.Sort(opens)
		a.print("%d of %d answered, open min/median/max %s/%s/%s", len(opens), sent, units.Duration(opens[0]),
			units.Duration(opens[len(opens)/2]), units.Duration(opens[len(opens)-1]))
	}
	if len(opens) == 0 {
		return last
	}
	return nil
}

func (a *App) pingOnce(ctx context.Context, n node, name string, seq int, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p, err := pingNode(ctx, n, name)
	p.Seq = seq
	open, rtt := time.Duration(p.Open*float64(time.Second)), time.Duration(p.RTT*float64(time.Second))
	switch {
	case err != nil && a.json:
		p.Error = err.Error()
		a.printJSON(p)
	case a.json:
		a.printJSON(p)
	case err != nil:
		a.print("%d: %v", seq, err)
	default:
		a.print("%d: %s at %s open %s, round trip %s", seq, p.Instance, p.Underlay, units.Duration(open), units.Duration(rtt))
	}
	return open, err
}

func pingNode(ctx context.Context, n node, name string) (p pong, err error) {
	start := time.Now()
	conn, err := n.DialContext(ctx, "tcp", name)
	if err != nil {
		return p, err
	}
	defer conn.Close()
	p.Open = time.Since(start).Seconds()
	p.Instance, p.Underlay = conn.RemoteAddr().String(), where(conn)
	rtt, err := roundTrip(ctx, conn)
	p.RTT = rtt.Seconds()
	return p, err
}
