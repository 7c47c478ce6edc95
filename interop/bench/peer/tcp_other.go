//go:build !linux

package peer

import (
	"context"
	"net"
	"net/netip"
)

// tcp is kernel TCP; only Linux lets a socket choose its congestion control.
type tcp struct{ congestion string }

func (tcp) Listen(addr netip.AddrPort) (net.Listener, error) {
	return net.Listen("tcp4", addr.String())
}

func (tcp) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", addr.String())
}
