package sections

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/serval-net/serval/servald/internal/capture"
	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// capture takes connections off the traffic of this host or its clients.
func (r *Runner) capture(ctx context.Context, s config.Capture) (component.Running, error) {
	var h tun.Handler = named{r.out, s.Name.String()}
	to := s.To
	if s.Name.IsZero() {
		pool, all, err := r.virtual("capture")
		if err != nil {
			return component.Running{}, err
		}
		h = all
		if len(to) == 0 {
			to = []netip.Prefix{pool.Prefix4(), vaddr.Prefix6}
		}
	}
	c, err := capture.Open(ctx, capture.Config{Mode: s.Mode, From: s.From, To: to, Ports: s.Ports, Users: s.Users, Max: s.Max, Handler: h, Log: r.env.Log})
	if err != nil {
		return component.Running{}, err
	}
	run := component.Go(c.Close, func(closed context.Context) error { return c.Run(closed, ctx) })
	run.Info = func() string {
		streams, flows := c.Active()
		return fmt.Sprintf("%d connections and %d flows of datagrams open", streams, flows)
	}
	return run, nil
}

// named leads everything to one service.
type named struct {
	out     *outbound.Outbound
	service string
}

func (n named) client(src netip.AddrPort) outbound.Client {
	return outbound.Client{Via: "capture", Addr: src}
}

// Stream implements tun.Handler.
func (n named) Stream(ctx context.Context, src, dst netip.AddrPort) (net.Conn, error) {
	return n.out.Stream(ctx, n.client(src), n.service, dst.Port())
}

// Datagrams implements tun.Handler.
func (n named) Datagrams(ctx context.Context, src, dst netip.AddrPort) (tun.Datagrams, error) {
	return n.out.Datagrams(ctx, n.client(src), n.service, dst.Port())
}

// Ping implements tun.Handler.
func (n named) Ping(ctx context.Context, _ netip.Addr) error { return n.out.Ping(ctx, n.service) }
