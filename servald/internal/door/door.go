// Package door is the side of a proxy that clients come in by: who may, how many at
// once, and what each is told apart by.
package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/servald/internal/fair"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// DefaultMax is how many connections a Door lets in at once.
const DefaultMax = 16384

// Settings are what everything has that lets clients in.
type Settings struct {
	// Clients are the addresses that clients may have; none means all. Those of Unix
	// sockets are always let in.
	Clients []netip.Prefix

	// Max is how many connections there are at once; 0 is 16384. One client gets three
	// quarters of it at most, and what is more is reset.
	Max int

	// Drain is how long open connections may go on after Serve was told to stop.
	Drain time.Duration

	// End, if not nil, is what ends open connections when it is done, instead of Drain.
	End context.Context

	Log *slog.Logger // nil is slog.Default()
}

// Door lets clients in. Set the fields before Serve; it serves one listener.
type Door struct {
	// Via names the proxy in logs, such as "socks5".
	Via string

	// Handle serves a connection and closes it before it returns; it returns soon after
	// ctx is done. Its error is logged.
	Handle func(ctx context.Context, c outbound.Client, conn net.Conn) error

	Settings

	once  sync.Once
	gate  *fair.Gate[string]
	proxy splice.Proxy
}

func (d *Door) init() {
	d.once.Do(func() {
		if d.Max <= 0 {
			d.Max = DefaultMax
		}
		if d.Log == nil {
			d.Log = slog.Default()
		}
		d.gate = fair.New[string](d.Max)
		d.proxy.Handle, d.proxy.MaxConns, d.proxy.Drain, d.proxy.End = d.handle, d.Max+1, d.Drain, d.End
		d.proxy.Log = d.Log.With("via", d.Via)
	})
}

// Serve accepts from ln until ctx is done, then closes it, gives open connections the
// time of Drain, ends them, and returns nil. It returns the error when ln fails for
// another reason. When it returns, nothing that it started runs any more.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	d.init()
	return d.proxy.Serve(ctx, ln)
}

// Active returns how many connections are open.
func (d *Door) Active() int { return d.proxy.Active() }

// Inside returns how many connections have entered and not left.
func (d *Door) Inside() int {
	d.init()
	return d.gate.Taken()
}

// Total returns how many connections there were.
func (d *Door) Total() int64 { return d.proxy.Total() }

// errCrowded: the client has its share of the connections.
var errCrowded = errors.New("the client has as many connections as it gets while others want some; raise max if this is not abuse")

func (d *Door) handle(ctx context.Context, conn net.Conn) error {
	c, leave, err := d.Enter(conn)
	if err != nil {
		splice.Abort(conn)
		return err
	}
	defer leave()
	return d.Handle(ctx, c, conn)
}

// Enter says whose connection it is, and takes a place for it that leave gives back;
// or why the client may not come in.
func (d *Door) Enter(conn net.Conn) (c outbound.Client, leave func(), err error) {
	d.init()
	c = ClientOf(d.Via, conn)
	if !d.admits(c.Addr.Addr()) {
		return c, nil, fmt.Errorf("%v is not an address that clients may have here", c.Addr.Addr())
	}
	who := c.Session
	if who == "" {
		who = c.Addr.Addr().String()
	}
	if !d.gate.Try(who) {
		return c, nil, errCrowded
	}
	return c, func() { d.gate.Leave(who) }, nil
}

func (d *Door) admits(addr netip.Addr) bool {
	return len(d.Clients) == 0 || !addr.IsValid() ||
		slices.ContainsFunc(d.Clients, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// ClientOf says whose connection it is.
func ClientOf(via string, conn net.Conn) outbound.Client {
	c := outbound.Client{Via: via}
	switch a := conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		at := a.AddrPort()
		c.Addr = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	case *net.UnixAddr:
		c.Session = "unix"
	}
	if id := process(conn); id != "" {
		c.Session = id
	}
	return c
}

// HangUp closes a connection so that its client gets the last that was written to it,
// even if it has written what nobody read: closing at once would reset it.
func HangUp(conn net.Conn) {
	if h, ok := conn.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, conn, 256<<10)
	}
	conn.Close()
}

// IsLocal reports whether only programs of this host reach a listener.
func IsLocal(addr net.Addr) bool {
	var ip net.IP
	switch a := addr.(type) {
	case *net.TCPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	case *net.UnixAddr:
		return true
	}
	return ip.IsLoopback()
}
