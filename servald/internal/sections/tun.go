package sections

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/vaddr"
	"github.com/serval-net/serval/servald/internal/virtual"
)

// tun makes the interface that leads to virtual addresses.
func (r *Runner) tun(ctx context.Context, s config.TUN) (component.Running, error) {
	pool, h, err := r.virtual("tun")
	if err != nil {
		return component.Running{}, err
	}
	v4, v6 := pool.Self()
	dev, err := tun.Open(s.Device, []netip.Prefix{netip.PrefixFrom(v4, pool.Prefix4().Bits()), netip.PrefixFrom(v6, vaddr.Prefix6.Bits())}, s.MTU)
	if err != nil {
		return component.Running{}, err
	}
	// Connections need the device: it goes when the last has ended, or with ctx.
	stack, err := tun.New(dev, h, tun.Config{MaxStreams: s.Max, End: ctx, Log: r.env.Log})
	if err != nil {
		dev.Close()
		return component.Running{}, err
	}
	c := component.Go(nil, stack.Run)
	c.Info = func() string {
		all, given := pool.Capacity()
		return fmt.Sprintf("%d open, %d of %d IPv4 addresses given", stack.Active(), given, all)
	}
	return c, nil
}

// virtual leads what is sent to virtual addresses to services, and returns those addresses.
func (r *Runner) virtual(via string) (*vaddr.Pool, *virtual.Handler, error) {
	pool, err := r.pool.get(r.env.Services)
	if err != nil {
		return nil, nil, err
	}
	server, err := r.names.get(r)
	if err != nil {
		return nil, nil, err
	}
	return pool, &virtual.Handler{Names: pool, Services: r.out, DNS: server, Client: outbound.Client{Via: via}}, nil
}

// hasIPv6 reports whether programs of this host can use IPv6 at all.
func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}
