package cli

import (
	"context"
	"net"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/expose"
	"github.com/serval-net/serval/servald/internal/units"
)

// node is what the commands need of a *serval.Node; see [stack].
type node interface {
	DialContext(ctx context.Context, network, name string) (net.Conn, error)
	Listen(name string) (net.Listener, error)
	expose.Node
	// Serval is the node itself.
	Serval() *serval.Node
	// Close waits until what was written is delivered.
	Close() error
}

// stack is a serval.Node whose listeners have no type.
type stack struct {
	*serval.Node
	onNode
}

// onNode is the node as servers that are put behind names need it.
type onNode = expose.Node

// Listen is Node.Listen.
func (s stack) Listen(name string) (net.Listener, error) { return s.Node.Listen(name) }

// Serval returns the node itself.
func (s stack) Serval() *serval.Node { return s.Node }

// withNode runs f with a node that is closed afterwards.
func (a *App) withNode(ctx context.Context, f func(node) error) error {
	n, err := a.open(ctx, a)
	if err != nil {
		return err
	}
	err = f(n)
	if cerr := n.Close(); err == nil {
		err = cerr
	}
	return err
}

// dial opens a connection within timeout, and with -v says where it went.
func (a *App) dial(ctx context.Context, n node, name string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	conn, err := n.DialContext(ctx, "tcp", name)
	if err == nil && a.verbose {
		a.note("connected to %s in %s", describe(conn), units.Duration(time.Since(start)))
	}
	return conn, err
}

// describe names the instance at the other end and where it is.
func describe(conn net.Conn) string {
	s := conn.RemoteAddr().String()
	if at := where(conn); at != "" {
		s += " at " + at
	}
	return s
}

// where is the peer's underlay address.
func where(conn net.Conn) string {
	if a, ok := conn.RemoteAddr().(*serval.Addr); ok && a.Underlay.IsValid() {
		return a.Underlay.String()
	}
	return ""
}

// roundTrip measures one round trip on an open connection, without the application at
// the other end; 0 if the connection cannot.
func roundTrip(ctx context.Context, conn net.Conn) (time.Duration, error) {
	p, ok := conn.(interface {
		Ping(context.Context) (time.Duration, error)
	})
	if !ok {
		return 0, nil
	}
	return p.Ping(ctx)
}
