package sections

import (
	"context"
	"fmt"
	"net"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/httpproxy"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/socks"
)

// destinations is what clients that name hosts may reach.
func (r *Runner) destinations(foreign outbound.Foreign) *outbound.Destinations {
	d := &outbound.Destinations{Outbound: r.out, Foreign: foreign}
	// Without addresses the names do.
	if pool, err := r.pool.get(r.env.Services); err == nil {
		d.Names = pool
	} else {
		r.env.Log.Warn("virtual addresses mean nothing to proxies", "err", err)
	}
	return d
}

// socks5 is a SOCKS5 proxy at one address.
func (r *Runner) socks5(ctx context.Context, at config.Listen, s config.SOCKS5) (component.Running, error) {
	return r.proxy(ctx, at, &socks.Server{Associations: s.UDPMax, UDPIdle: s.UDPIdle.Duration, ProxySettings: door.ProxySettings{
		Destinations: r.destinations(s.Foreign), Users: s.Users, Handshake: s.Handshake.Duration,
		Settings: door.Settings{Clients: s.Clients, Max: s.Max, End: ctx, Log: r.env.Log}}})
}

// httpProxy is an HTTP proxy at one address.
func (r *Runner) httpProxy(ctx context.Context, at config.Listen, s config.HTTPProxy) (component.Running, error) {
	return r.proxy(ctx, at, &httpproxy.Server{Idle: s.Idle.Duration, ProxySettings: door.ProxySettings{
		Destinations: r.destinations(s.Foreign), Users: s.Users, Handshake: s.Handshake.Duration,
		Settings: door.Settings{Clients: s.Clients, Max: s.Max, End: ctx, Log: r.env.Log}}})
}

// proxy listens at an address for a server.
func (r *Runner) proxy(ctx context.Context, at config.Listen, s interface {
	Serve(ctx context.Context, ln net.Listener) error
	Active() int
}) (component.Running, error) {
	ln, err := door.Listen(ctx, at.Network, at.Address)
	if err != nil {
		return component.Running{}, err
	}
	c := component.Go(ln.Close, func(ctx context.Context) error { return s.Serve(ctx, ln) })
	c.Info = func() string { return fmt.Sprintf("%d open", s.Active()) }
	return c, nil
}
