package serval

import (
	"context"
	"fmt"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// ListenConfig listens with options of its own, as a net.ListenConfig does. The
// zero value listens on the default node as an ordinary instance. What it says
// can be changed while the listener lives: see Listener.Update.
type ListenConfig struct {
	// Node serves; nil means that of Default.
	Node *Node

	// Network is what connections Accept takes: "" or "tcp" for streams, "udp" for
	// datagrams, each correspondent's a Conn of its own, "tcp+udp" for both: see
	// Conn.Datagrams. ListenPacket ignores it. It cannot be changed later.
	Network string

	// Weight is the instance's share among those of the same priority, 0 to
	// 65535; 0 means 1.
	Weight int

	// Priority ranks instances: those of a smaller one are dialled only when the
	// others are gone or busy. -32768 to 32767.
	Priority int

	// Balance is how diallers should choose among the instances; their own choice
	// counts for more.
	Balance resolver.Balance

	// Keys are the parts of the service's key space that the instance owns, up to
	// resolver.MaxKeys; none means that it answers for every key. An instance with
	// keys refuses the keys of others, and takes dials that have none.
	Keys []sal.KeyPrefix

	// Load says how busy the instance is: 0 is idle, and from 1 on it takes no
	// new connections, which go to others. Whatever it says, an instance is as
	// busy as its backlog is full. Nil says nothing more than that. One goroutine
	// at a time calls it, about once a second and more often while connections
	// arrive; it must return soon and must not close the listener.
	Load func() float64

	// Backlog is how many connections are kept for Accept; 0 means Config.Backlog
	// of the node. It cannot be changed later.
	Backlog int
}

// Listen makes the node an instance of a service, such as "svc:web". The context
// bounds the registration only, which takes 5 seconds at most.
func (lc *ListenConfig) Listen(ctx context.Context, service string) (*Listener, error) {
	n, err := lc.node()
	if err != nil {
		return nil, &OpError{Op: "listen", Service: service, Err: err}
	}
	return n.listen(ctx, *lc, service, nil)
}

// ListenPacket makes the node an instance of a datagram service. The context
// bounds the registration only.
func (lc *ListenConfig) ListenPacket(ctx context.Context, service string) (*PacketConn, error) {
	n, err := lc.node()
	if err != nil {
		return nil, &OpError{Op: "listen", Service: service, Err: err}
	}
	return n.listenPacket(ctx, *lc, service)
}

func (lc *ListenConfig) node() (*Node, error) {
	if lc.Node != nil {
		return lc.Node, nil
	}
	return Default()
}

// check looks for what cannot be meant.
func (lc *ListenConfig) check(name sal.Name) error {
	switch {
	case lc.Network != "" && lc.Network != "tcp" && lc.Network != "udp" && lc.Network != "tcp+udp":
		return fmt.Errorf("ListenConfig.Network is %q; choose tcp, udp or tcp+udp", lc.Network)
	case lc.Weight < 0 || lc.Weight > 65535:
		return fmt.Errorf("ListenConfig.Weight is %d; choose 1 to 65535, or 0 for 1", lc.Weight)
	case lc.Priority < -32768 || lc.Priority > 32767:
		return fmt.Errorf("ListenConfig.Priority is %d; choose -32768 to 32767", lc.Priority)
	case lc.Backlog < 0:
		return fmt.Errorf("ListenConfig.Backlog is %d; choose how many connections may wait for Accept, or 0 for the node's", lc.Backlog)
	case len(lc.Keys) > resolver.MaxKeys:
		return fmt.Errorf("ListenConfig.Keys has %d key prefixes; give at most %d", len(lc.Keys), resolver.MaxKeys)
	case len(lc.Keys) > 0 && name.IsWildcard():
		return fmt.Errorf("%v stands for many services and cannot own keys of one; leave ListenConfig.Keys empty", name)
	}
	for _, k := range lc.Keys {
		if !k.Valid() {
			return fmt.Errorf("ListenConfig.Keys has %v, with bits set beyond its length", k)
		}
	}
	if _, err := resolver.ParseBalance(lc.Balance.String()); err != nil {
		return fmt.Errorf("ListenConfig.Balance is an unknown %v", lc.Balance)
	}
	return nil
}

// takes reports whether a listener takes datagram connections, or streams.
func (l *Listener) takes(datagram bool) bool {
	switch {
	case l.packets != nil || l.network == "udp":
		return datagram
	case l.network == "tcp+udp":
		return true
	}
	return !datagram
}

// register is the change of a registration to what lc says.
func (lc *ListenConfig) register(r *resolver.Registration) {
	r.Weight, r.Priority, r.Balance, r.Keys = lc.Weight, lc.Priority, lc.Balance, lc.Keys
}
