// Package expose puts servers that know nothing of Serval behind names: TCP and UDP
// servers, Unix sockets, a command for each connection, and servers that are started
// when somebody dials them.
//
// A connection's way: the node's listener, a limit on how many there are, the server
// at [Config.To] (started first if it is on demand), a header that says who calls if
// the server wants one, and bytes both ways until both directions have ended. A reset
// on either side becomes one on the other. Datagrams of each client go through a
// socket of their own, so that the server tells clients apart and may answer from any
// port.
package expose

import (
	"context"
	"net"

	"github.com/serval-net/serval/pkg/serval"
)

// Node is what a [Server] needs of a *serval.Node, see [On].
type Node interface {
	// ListenAs makes the node an instance that takes streams.
	ListenAs(ctx context.Context, lc serval.ListenConfig, name string) (Listener, error)
}

// Listener is what a [Server] needs of a *serval.Listener.
type Listener interface {
	net.Listener
	Suspend(ctx context.Context) error
	Resume(ctx context.Context) error
	Update(ctx context.Context, change func(*serval.ListenConfig)) error
}

// On returns n as a [Server] needs it.
func On(n *serval.Node) Node { return onNode{n} }

type onNode struct{ *serval.Node }

// ListenAs is serval.ListenConfig.Listen.
func (n onNode) ListenAs(ctx context.Context, lc serval.ListenConfig, name string) (Listener, error) {
	lc.Node = n.Node
	return lc.Listen(ctx, name)
}
