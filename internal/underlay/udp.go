package underlay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
)

// UDP is the Network of the operating system's UDP sockets. The zero value is
// ready to use; fields must be set before the first call. Safe for concurrent
// use.
//
// On Linux a batch is one system call each way (UDP_SEGMENT, UDP_GRO) where
// the kernel can, else sendmmsg and recvmmsg; other systems take a call for
// each datagram. Datagrams carry the don't-fragment flag where it can be set.
type UDP struct {
	// Loopback makes LocalAddrs include loopback addresses, which it
	// otherwise lists only when the host has no others.
	Loopback bool

	// NoSpin keeps readers from polling for the next datagram, for up to
	// 100 us, before they sleep. They do so only while datagrams follow each
	// other that closely, which makes request/response several times faster
	// at the cost of CPU, and only one reader of a process at a time. Only
	// Linux sockets spin.
	NoSpin bool

	disable feature // forced off, for tests
	sources sources
	dropped atomic.Uint64

	mu   sync.Mutex
	open map[refresher]struct{} // sockets
}

var _ Network = (*UDP)(nil)

// feature is a set of ways to handle several datagrams at once.
type feature uint8

const (
	segmentOut feature = 1 << iota // UDP_SEGMENT
	mergeIn                        // UDP_GRO
	batching                       // all of them: leaves a plain socket
)

// socketBuffer is the size asked for each direction of a socket. Stock limits
// of 208 KiB halve throughput.
const socketBuffer = 4 << 20

// Listen opens a UDP socket at addr and starts its reader.
func (u *UDP) Listen(addr netip.AddrPort, h Handler) (Socket, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { setOptions(fd, addr.Addr().Is4()) })
	}}
	c, err := lc.ListenPacket(context.Background(), family(addr.Addr()), addr.String())
	if err != nil {
		return nil, fmt.Errorf("underlay: cannot listen on %v: %w", addr, err)
	}
	return u.openSocket(c.(*net.UDPConn), h)
}

// Dropped counts the datagrams that the system had no room to send.
func (u *UDP) Dropped() uint64 { return u.dropped.Load() }

// family names the network of a socket that carries only addr's IP version.
func family(addr netip.Addr) string {
	if addr.Is4() {
		return "udp4"
	}
	return "udp6"
}

func sendError(to netip.AddrPort, err error) error {
	return fmt.Errorf("underlay: cannot send to %v, try another path: %w", to, err)
}
