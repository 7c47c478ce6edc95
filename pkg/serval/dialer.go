package serval

import (
	"context"
	"net"
)

// Dialer dials with options of its own, as a net.Dialer does. The zero value
// dials from the default node with the node's policy.
type Dialer struct {
	// Node dials; nil means that of Default.
	Node *Node
	// Policy is how the connections use their paths; Automatic means the node's.
	Policy Policy
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
	n := d.Node
	if n == nil {
		var err error
		if n, err = Default(); err != nil {
			return nil, &OpError{Op: "dial", Service: service, Err: err}
		}
	}
	if err := d.Policy.check(); err != nil {
		return nil, &OpError{Op: "dial", Service: service, Err: err}
	}
	return n.dialNetwork(ctx, network, service, want{policy: d.Policy})
}
