package serval

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/serval-net/serval/internal/underlay"
)

// sockets is the node's underlay: one UDP socket per local address, opened when
// the address appears and kept when it goes, since most come back. What it knows
// is a snapshot that readers load without a lock.
type sockets struct {
	network underlay.Network
	now     atomic.Pointer[[]local]

	mu      sync.Mutex // one refresh at a time
	rules   []InterfaceRule
	drained map[string]bool
	closed  bool
}

// local is a socket and what its address is good for.
type local struct {
	underlay.Socket
	addr     netip.AddrPort
	iface    string // the interface that holds the address
	slot     string // see mesh.Local
	nth      int    // of several sockets on one address
	up       bool   // the address is there and its interface carries packets
	cost     uint8
	excluded bool // by a rule
	drained  bool // by the operator
}

// usable reports whether connections may choose the address.
func (l *local) usable() bool { return l.up && !l.excluded && !l.drained }

// maxParked bounds the sockets kept for addresses that went away.
const maxParked = 16

func (s *sockets) open(n *Node) error {
	s.network = n.cfg.network
	s.rules, s.drained = n.cfg.Interfaces, make(map[string]bool)
	s.now.Store(new([]local))
	if _, err := s.refresh(n); err != nil {
		s.close()
		return err
	}
	if len(s.list()) == 0 {
		return fmt.Errorf("serval: this host has no address to listen on; bring an interface up or set Config.Listen")
	}
	return nil
}

// list is what there is now; the caller must not change it.
func (s *sockets) list() []local { return *s.now.Load() }

// refresh brings the sockets in line with the host's addresses. It reports
// whether anything changed.
func (s *sockets) refresh(n *Node) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, nil
	}
	ifaces, err := s.network.Interfaces()
	if err != nil {
		return false, fmt.Errorf("serval: cannot list this host's interfaces: %w", err)
	}
	old := s.list()
	next := make([]local, 0, len(old))
	for _, w := range wanted(ifaces, n.cfg.Listen) {
		for k := range max(n.cfg.FlowsPerInterface, 1) {
			w := w
			if w.nth = k; k > 0 {
				if w.addr.Port() != 0 {
					break // the port is taken by the first
				}
				w.slot = fmt.Sprintf("%s#%d", w.slot, k)
			}
			i := slices.IndexFunc(old, func(l local) bool {
				return l.addr == w.addr || l.addr.Addr() == w.addr.Addr() && w.addr.Port() == 0 && l.nth == w.nth
			})
			if i >= 0 {
				w.Socket, w.addr = old[i].Socket, old[i].addr
			} else if err := n.listenOn(&w); err != nil {
				if len(n.cfg.Listen) == 0 {
					continue // an address that went away while we looked
				}
				s.now.Store(&next)
				return false, err
			}
			w.cost, w.excluded = price(s.rules, w.iface)
			w.drained = s.drained[w.iface] || s.drained[w.addr.Addr().String()]
			next = append(next, w)
		}
	}
	next = park(next, old)
	s.now.Store(&next)
	same := func(a, b local) bool {
		return a.addr == b.addr && a.up == b.up && a.iface == b.iface && a.excluded == b.excluded && a.drained == b.drained && a.cost == b.cost
	}
	return !slices.EqualFunc(old, next, same), nil
}

// park keeps the sockets of addresses that are gone, the latest of them.
func park(next, old []local) []local {
	parked := 0
	for _, o := range slices.Backward(old) {
		if slices.ContainsFunc(next, func(l local) bool { return l.Socket == o.Socket }) {
			continue
		}
		if parked++; parked > maxParked {
			go o.Socket.Close() // waits for its reader, which may be what brought us here
			continue
		}
		o.up = false
		next = append(next, o)
	}
	return next
}

// listenOn opens the socket of l.
func (n *Node) listenOn(l *local) (err error) {
	l.Socket, err = n.sockets.network.Listen(l.addr, n.handler())
	if err != nil {
		return fmt.Errorf("serval: cannot listen on %v: %w; choose another address in Config.Listen or SERVAL_LISTEN", l.addr, err)
	}
	l.addr = l.Socket.LocalAddr()
	if r, ok := l.Socket.(underlay.ErrorReporter); ok {
		r.OnUnreachable(n.unreachable)
	}
	return nil
}

// wanted lists the addresses to bind: those asked for, or all there are.
func wanted(ifaces []underlay.Interface, ask []netip.AddrPort) (out []local) {
	all := func(port uint16, fits func(netip.Addr) bool) {
		for _, i := range ifaces {
			if isServalds(i) {
				continue
			}
			for _, a := range i.Addrs {
				if i.Running && fits(a) {
					out = append(out, on(i, netip.AddrPortFrom(a, port)))
				}
			}
		}
	}
	if len(ask) == 0 {
		all(0, func(netip.Addr) bool { return true })
	}
	for _, a := range ask {
		if a.Addr().IsUnspecified() {
			all(a.Port(), func(l netip.Addr) bool { return l.Is4() == a.Addr().Is4() })
			continue
		}
		l := local{addr: a, slot: a.Addr().String()}
		for _, i := range ifaces {
			if slices.Contains(i.Addrs, a.Addr()) || i.Loopback && a.Addr().IsLoopback() {
				l = on(i, a)
			}
		}
		out = append(out, l)
	}
	return out
}

// servaldAddrs are addresses of servald on its own TUN device, where it is unless it was
// told another range of virtual addresses and there is no IPv6.
var servaldAddrs = []netip.Addr{netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("fd5e:7276:616c::1")}

// isServalds reports whether an interface is the TUN device of this host's servald, for
// programs that know nothing of Serval: what is sent there comes back as connections to
// services, and nobody else reaches its addresses, which other hosts have, too.
func isServalds(i underlay.Interface) bool {
	return slices.ContainsFunc(servaldAddrs, func(a netip.Addr) bool { return slices.Contains(i.Addrs, a) })
}

// on describes an address of an interface. Aliases of the loopback interface
// count as interfaces of their own.
func on(i underlay.Interface, a netip.AddrPort) local {
	l := local{addr: a, iface: i.Name, slot: i.Name, up: i.Running}
	if i.Loopback {
		l.slot = a.Addr().String()
	}
	return l
}

// addrs lists where the node can be reached now.
func (s *sockets) addrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, l := range s.list() {
		if l.usable() {
			out = append(out, l.addr)
		}
	}
	return out
}

// public lists where other hosts can reach the node, or if there is no such
// address, where this host can.
func (s *sockets) public() []netip.AddrPort {
	all := s.addrs()
	out := slices.DeleteFunc(slices.Clone(all), func(a netip.AddrPort) bool { return a.Addr().IsLoopback() })
	if len(out) == 0 {
		return all
	}
	return out
}

// at returns the socket of a local address, nil if there is none.
func (s *sockets) at(addr netip.AddrPort) *local {
	list := s.list()
	for i := range list {
		if list[i].addr == addr {
			return &list[i]
		}
	}
	return nil
}

// own reports whether an address is this host's.
func (s *sockets) own(a netip.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(s.list(), func(l local) bool { return l.up && l.addr.Addr() == a })
}

// pick returns the socket to reach dst from: the one bound to the address that
// routing prefers, else any of the same family, else nil.
func (s *sockets) pick(dst netip.Addr) underlay.Socket {
	list := s.list()
	find := func(a netip.Addr) underlay.Socket {
		for i := range list {
			if list[i].addr.Addr() == a && list[i].usable() {
				return list[i].Socket
			}
		}
		return nil
	}
	if sock := find(dst); sock != nil {
		return sock // this very host
	}
	if src, err := s.network.SourceFor(dst); err == nil {
		if sock := find(src); sock != nil {
			return sock
		}
	}
	for i := range list {
		if list[i].usable() && list[i].addr.Addr().Is4() == dst.Unmap().Is4() {
			return list[i].Socket
		}
	}
	return nil
}

func (s *sockets) close() {
	s.mu.Lock()
	s.closed = true
	list := s.list()
	s.mu.Unlock()
	for _, l := range list {
		l.Socket.Close()
	}
}
