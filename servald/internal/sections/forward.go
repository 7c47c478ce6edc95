package sections

import (
	"context"
	"fmt"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/forward"
)

// forward makes a service reachable at a local address.
func (r *Runner) forward(ctx context.Context, section config.Forward) (component.Running, error) {
	s := &forward.Server{Outbound: r.out, Service: section.Name.String(), Port: section.Port,
		Timeout: section.Timeout.Duration, UDPIdle: section.UDPIdle.Duration,
		Settings: door.Settings{Clients: section.Clients, Max: section.Max, End: ctx, Log: r.env.Log}}
	if section.Listen.Network == "udp" {
		conn, err := door.ListenUDP(ctx, section.Listen.Address)
		if err != nil {
			return component.Running{}, err
		}
		c := component.Go(conn.Close, func(ctx context.Context) error { return s.ServePacket(ctx, conn) })
		c.Info = func() string { return fmt.Sprintf("to %s, %d clients", section.Name, s.Flows()) }
		return c, nil
	}
	ln, err := door.Listen(ctx, section.Listen.Network, section.Listen.Address)
	if err != nil {
		return component.Running{}, err
	}
	c := component.Go(ln.Close, func(ctx context.Context) error { return s.Serve(ctx, ln) })
	c.Info = func() string { return fmt.Sprintf("to %s, %d open of %d", section.Name, s.Active(), s.Total()) }
	return c, nil
}
