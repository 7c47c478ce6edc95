// Package serval opens connections to services instead of hosts.
//
//	l, err := serval.Listen("svc:hello")       // be an instance of svc:hello
//	c, err := serval.Dial("svc:hello")         // talk to one
//
// A connection is encrypted and authenticated in the round trip that opens it.
// Which instance answers is decided by the first packet: one that is silent or
// refuses costs a short timer or nothing, and the next is asked inside the same
// Dial. Listeners and connections are net.Listener and net.Conn, so net/http,
// grpc and the rest work on them.
//
// The functions of this package use a default [Node], made from the environment
// the first time one is called (see [Default]). Programs that want to choose
// make their own with [NewNode].
//
// # The way of a packet
//
// Outgoing: application, [Conn], TCP endpoint (internal/netstack), link.go,
// stream and repair (internal/flowset), path (internal/flow), keys
// (internal/seal), UDP socket (internal/underlay). Incoming the other way,
// entering at receive.go.
//
// # The life of a connection
//
// dial.go asks candidates (route.go) with a SYN; accept.go answers; both call
// establish.go; link.go runs it until settle finds it finished or failed.
package serval

import (
	"context"
	"net"
)

// Dial opens a stream connection to a service on the default node. Any form of
// a name will do: "svc:web", "web", "web.svc.serval:80".
func Dial(service string) (*Conn, error) {
	n, err := Default()
	if err != nil {
		return nil, err
	}
	return n.Dial(service)
}

// DialContext is Node.DialContext on the default node. It fits
// http.Transport.DialContext and, with network "", grpc.WithContextDialer.
func DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	n, err := Default()
	if err != nil {
		return nil, err
	}
	return n.DialContext(ctx, network, addr)
}

// Listen makes the default node an instance of a service.
func Listen(service string) (*Listener, error) {
	n, err := Default()
	if err != nil {
		return nil, err
	}
	return n.Listen(service)
}

// DialPacket opens a PacketConn of the default node that serves nothing.
func DialPacket() (*PacketConn, error) {
	n, err := Default()
	if err != nil {
		return nil, err
	}
	return n.DialPacket()
}

// ListenPacket makes the default node an instance of a datagram service.
func ListenPacket(service string) (*PacketConn, error) {
	n, err := Default()
	if err != nil {
		return nil, err
	}
	return n.ListenPacket(service)
}
