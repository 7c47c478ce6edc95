package underlay

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// egress sees to it that what a socket sends leaves by the interface that holds
// its address. Routing alone looks at the destination only: with two default
// routes, all would leave by the better one, with a source that the network
// there may not carry.
//
// Where routing would pick another interface though the own one has a route
// too, packets are sent by a second descriptor, bound to the interface. The
// first cannot be: it must receive what comes by other ways, as from this very
// host. The second has the same address and port but receives nothing, being
// connected to a port that never sends. (IP_UNICAST_IF would keep IPv4 packets
// from other addresses of this host, and IPv6 routing obeys it only among
// routes of one metric.)
type egress struct {
	seen atomic.Uint32 // changes of interfaces and routes; starts at 1

	mu    sync.Mutex
	home  *Interface          // that holds the address; nil if not known
	alone bool                // no other interface could be picked
	bound map[netip.Addr]bool // whether to use the second descriptor
	index int                 // interface the second is bound to
	conn  *net.UDPConn        // nil if there is none
	raw   syscall.RawConn     // of conn
}

// discard is the port that the second descriptor is connected to, of its own
// address.
const discard = 9

// by returns the descriptor to reach dst with.
func (s *socket) by(dst netip.Addr) syscall.RawConn {
	e := &s.egress
	e.mu.Lock()
	defer e.mu.Unlock()
	bound, known := e.bound[dst]
	if !known {
		bound = s.mustBind(dst)
		if e.bound == nil || len(e.bound) >= maxSource {
			e.bound = make(map[netip.Addr]bool)
		}
		e.bound[dst] = bound
	}
	if !bound {
		return s.raw
	}
	if s.bind() {
		return e.raw
	}
	e.bound[dst] = false // do not try again
	return s.raw
}

// mustBind reports whether routing would pick another interface for dst though
// the own one has a route there too. The caller holds e.mu.
func (s *socket) mustBind(dst netip.Addr) bool {
	src := s.local.Addr()
	if src.IsUnspecified() || src.IsLoopback() || dst.IsLoopback() || dst.IsMulticast() || dst.Zone() != "" {
		return false
	}
	e := &s.egress
	if e.home == nil {
		e.find(src)
	}
	home := e.home
	if e.alone || home == nil || home.Loopback {
		return false
	}
	free, err := findRoute(src, dst, 0)
	if err == nil && (free.kind != unix.RTN_UNICAST || free.oif == home.Index) {
		return false // among them this host's own addresses
	}
	own, err := findRoute(src, dst, home.Index)
	return err == nil && own.kind == unix.RTN_UNICAST && own.oif == home.Index
}

// find looks for the interface that holds src.
func (e *egress) find(src netip.Addr) {
	all, _ := interfaces()
	e.home = holder(all, src)
	e.alone = true
	for i := range all {
		// One without a carrier counts: its routes stay, and are preferred still.
		if ifc := &all[i]; !ifc.Loopback && e.home != nil && ifc.Index != e.home.Index {
			e.alone = false
		}
	}
}

// bind sees to a second descriptor bound to the interface, and reports whether
// there is one. The caller holds e.mu.
func (s *socket) bind() bool {
	e := &s.egress
	if e.conn != nil && (e.home == nil || e.index == e.home.Index) {
		return true
	}
	s.unbind()
	if e.home == nil || s.closing.Load() {
		return false
	}
	s.reuse(1)
	defer s.reuse(0)
	addr := s.local
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		rc.Control(func(fd uintptr) {
			setOptions(fd, addr.Addr().Is4())
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, e.home.Index)
		})
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), family(addr.Addr()), addr.String())
	if err != nil {
		return false
	}
	conn := c.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
			err = unix.Connect(int(fd), socketAddr(netip.AddrPortFrom(addr.Addr(), discard)))
		})
	}
	if err != nil {
		conn.Close() // else it would take datagrams that are the first one's
		return false
	}
	e.conn, e.raw, e.index = conn, raw, e.home.Index
	return true
}

// reuse lets another descriptor have the socket's address, or no longer.
func (s *socket) reuse(on int) {
	s.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, on) })
}

func (s *socket) unbind() {
	e := &s.egress
	if e.conn != nil {
		e.conn.Close()
	}
	e.conn, e.raw = nil, nil
}

// forget has routes asked for again, after a change.
func (e *egress) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.home = nil
	clear(e.bound)
	e.seen.Add(1)
}

func socketAddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
