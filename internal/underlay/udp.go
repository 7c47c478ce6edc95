package underlay

import (
	"fmt"
	"net"
	"net/netip"
)

// UDP is the Network of the operating system's UDP sockets. The zero value is
// ready to use; fields must be set before the first call. Safe for concurrent
// use.
type UDP struct {
	// Loopback makes LocalAddrs include loopback addresses, which it
	// otherwise lists only when the host has no others.
	Loopback bool

	// NoSpin keeps idle readers from polling for up to 50 us after each
	// datagram. Spinning shortens request/response round trips several times
	// at the cost of CPU during such traffic.
	NoSpin bool

	sources sources
}

var _ Network = (*UDP)(nil)

// Listen opens a UDP socket at addr and starts its reader.
func (u *UDP) Listen(addr netip.AddrPort, h Handler) (Socket, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	c, err := net.ListenUDP(family(addr.Addr()), net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("underlay: cannot listen on %v: %w", addr, err)
	}
	return newPlain(c, h), nil
}

// family names the network of a socket that carries only addr's IP version.
func family(addr netip.Addr) string {
	if addr.Is4() {
		return "udp4"
	}
	return "udp6"
}
