//go:build linux

// Package traffic is what runs over a connection while the network under it
// breaks: a stream down or up, or requests with answers, whose every byte is
// known to the receiver, and a record of when which bytes arrived. It sees only
// net.Conn, so that all transports do exactly the same.
//
// A connection starts with one byte that says what the server shall do with it.
package traffic

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Transport is a system under test.
type Transport interface {
	// Listen serves at the address if that is possible, and returns what
	// addresses to give to Dial.
	Listen(addr netip.AddrPort) (net.Listener, []netip.AddrPort, error)
	// Dial opens a connection from nothing.
	Dial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error)
}

// Mover is a connection that can be told to use another interface.
type Mover interface {
	// Move returns once the connection's data travels by the interface.
	Move(ctx context.Context, iface string) error
}

// Detailer is a connection that can say, for people, how it is.
type Detailer interface{ Detail() string }

// Kind is what a connection carries.
type Kind string

// The kinds of traffic.
const (
	Down Kind = "down" // a stream from the server to the client
	Up   Kind = "up"   // a stream from the client to the server
	Ask  Kind = "ask"  // requests of 256 bytes, each followed by its answer of 4 KiB
	Idle Kind = "idle" // nothing, until touched: see Command
)

// Spec is what a client shall do.
type Spec struct {
	Kind  Kind
	Addrs []netip.AddrPort // the server's, from its Listen
	Conns int              // for Idle; the other kinds use one
}

const (
	chunk       = 64 << 10 // bytes read or written at a time, at most
	requestSize = 256
	answerSize  = 4 << 10
	dialTimeout = 10 * time.Second
)

// op is the first byte of a connection of this kind.
func (k Kind) op() byte { return k[0] }

func kindOf(op byte) (Kind, error) {
	for _, k := range []Kind{Down, Up, Ask, Idle} {
		if k.op() == op {
			return k, nil
		}
	}
	return "", fmt.Errorf("connection asks for %q, which is unknown", op)
}

// closeWrite ends the sending half of a connection.
func closeWrite(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("%T cannot end a stream", c)
	}
	return half.CloseWrite()
}
