package sections

import (
	"context"
	"fmt"
	"net"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// forward makes a service reachable at a local address.
func (r *Runner) forward(ctx context.Context, s config.Forward) (component.Running, error) {
	if s.Listen.Network == "udp" {
		return component.Running{}, fmt.Errorf("datagrams are not forwarded yet")
	}
	ln, err := listen(ctx, s.Listen)
	if err != nil {
		return component.Running{}, err
	}
	p := &splice.Proxy{MaxConns: s.Max, End: ctx, Log: r.env.Log}
	p.Handle = func(ctx context.Context, conn net.Conn) error {
		out, err := func() (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, s.Timeout.Or(outbound.DefaultTimeout))
			defer cancel()
			return r.out.Stream(ctx, client("forward", conn), s.Name.String(), s.Port)
		}()
		if err != nil {
			conn.Close()
			return err
		}
		_, _, err = splice.Join(ctx, conn, out)
		return err
	}
	c := component.Go(ln.Close, func(ctx context.Context) error { return p.Serve(ctx, ln) })
	c.Info = func() string { return fmt.Sprintf("to %s, %d open of %d", s.Name, p.Active(), p.Total()) }
	return c, nil
}

// client is who has connected.
func client(via string, conn net.Conn) outbound.Client {
	c := outbound.Client{Via: via}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.Addr = a.AddrPort()
	}
	return c
}
