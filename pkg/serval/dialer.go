package serval

import (
	"context"
	"fmt"
	"net"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Dialer dials with options of its own, as a net.Dialer does. The zero value
// dials from the default node with the node's policy, and any instance. It must
// not be copied after its first use; its methods are safe for concurrent use.
type Dialer struct {
	// Node dials; nil means that of Default.
	Node *Node
	// Policy is how the connections use their paths; Automatic means the node's.
	Policy Policy

	// Balance is how to choose among instances of one priority; BalanceDefault
	// leaves it to what they wish.
	Balance resolver.Balance

	// Key, if it is not empty, asks for the instance that owns it, as DialKey
	// does.
	Key string

	// Instance, if it is not zero, is the node of the one instance to dial, as
	// DialInstance does.
	Instance identity.NodeID

	// Prefer, if it is not nil, is an instance to ask first, such as a Conn's
	// RemoteAddr; if it does not answer in time, or refuses, others are asked.
	Prefer *Addr

	// Sticky asks for the instance of a service, and a Key, that answered this
	// Dialer last, as long as it answers: session affinity.
	Sticky bool

	// Port, if it is not 0, is told to the instance: what a program asked for that
	// knows ports and no services. The instance may act by it (Conn.Port,
	// Addr.Port), and most ignore it; it takes no part in the choice of one. With
	// DialPacket, and the networks of datagrams, each datagram has a port of its
	// own besides, 2 bytes that MaxDatagram leaves room for: that of Addr.Port, or
	// else this one; and longer ones leave in pieces, see Conn.WritePort. Instances
	// that are too old to know ports are dialled as if there were none; for
	// datagrams, they are passed over.
	Port uint16

	sticky sticky
}

// DialContext is Node.DialContext with the dialer's options.
func (d *Dialer) DialContext(ctx context.Context, network, service string) (net.Conn, error) {
	c, err := d.DialConn(ctx, network, service)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DialConn is DialContext with the concrete type.
func (d *Dialer) DialConn(ctx context.Context, network, service string) (*Conn, error) {
	n, w, err := d.want()
	if err != nil {
		return nil, &OpError{Op: "dial", Service: service, Err: err}
	}
	name, err := sal.ParseName(service)
	if err != nil || !d.Sticky {
		return n.dialNetwork(ctx, network, service, w)
	}
	k := stickyKey{name, w.choice.key}
	d.sticky.prefer(k, &w.choice)
	c, err := n.dialNetwork(ctx, network, service, w)
	if err == nil {
		d.sticky.note(k, c)
	}
	return c, err
}

// DialPacket is Node.DialPacket with the dialer's options, which hold for each
// datagram to a service. Sticky counts for nothing: see PacketConn.Bind.
func (d *Dialer) DialPacket() (*PacketConn, error) {
	n, w, err := d.want()
	if err != nil {
		return nil, &OpError{Op: "dial", Service: "datagrams", Err: err}
	}
	return n.dialPacket(w)
}

// want returns the node to dial from, and what the options ask for.
func (d *Dialer) want() (*Node, want, error) {
	n := d.Node
	if n == nil {
		var err error
		if n, err = Default(); err != nil {
			return nil, want{}, err
		}
	}
	if err := d.Policy.check(); err != nil {
		return nil, want{}, err
	}
	if d.Balance > resolver.BalanceHash {
		return nil, want{}, fmt.Errorf("serval: Dialer.Balance is %v; choose one of the constants of package resolver", d.Balance)
	}
	w := want{policy: d.Policy, port: d.Port}
	if d.Key != "" {
		w.choice = keyed(d.Key)
	}
	w.choice.balance, w.choice.only = d.Balance, d.Instance
	if d.Prefer != nil {
		w.choice.rather, w.choice.ratherAt = d.Prefer.Instance, d.Prefer.Underlay
	}
	return n, w, nil
}
