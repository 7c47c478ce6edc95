package simnet

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

// Host is a machine on the network; it implements underlay.Network.
type Host struct {
	net    *Network
	nat    *NAT // it is behind, or nil
	ifaces []*Interface
	former map[netip.Addr]*Interface // of removed addresses
	watch  map[*watcher]struct{}
	socks  map[netip.AddrPort]*socket
	port   uint16 // the last one chosen for a socket
	silent bool
}

var _ underlay.Network = (*Host)(nil)

func newHost(n *Network, nat *NAT, addrs []netip.Addr) *Host {
	h := &Host{
		net: n, nat: nat, port: 49151,
		former: make(map[netip.Addr]*Interface),
		watch:  make(map[*watcher]struct{}),
		socks:  make(map[netip.AddrPort]*socket),
	}
	n.mu.Lock()
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()
	for _, a := range addrs {
		h.Add(a)
	}
	return h
}

// LocalAddrs lists the addresses of the interfaces that are up.
func (h *Host) LocalAddrs() ([]netip.Addr, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var addrs []netip.Addr
	for _, ifc := range h.ifaces {
		if ifc.up {
			addrs = append(addrs, ifc.addrs...)
		}
	}
	return addrs, nil
}

// SourceFor is dst itself if it is local, else the first address that is up
// and of dst's IP version.
func (h *Host) SourceFor(dst netip.Addr) (netip.Addr, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if addr, ok := h.source(dst); ok {
		return addr, nil
	}
	return netip.Addr{}, fmt.Errorf("simnet: no route to %v: %w", dst, syscall.ENETUNREACH)
}

func (h *Host) source(dst netip.Addr) (netip.Addr, bool) {
	if ifc := h.iface(dst); ifc != nil && ifc.up {
		return dst, true
	}
	for _, ifc := range h.ifaces {
		for _, a := range ifc.addrs {
			if ifc.up && a.Is4() == dst.Is4() {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// Listen opens a socket at one of the host's addresses, or at the unspecified
// one for all addresses of that IP version.
func (h *Host) Listen(addr netip.AddrPort, handler underlay.Handler) (underlay.Socket, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, net.ErrClosed
	}
	if !addr.Addr().IsUnspecified() && h.iface(addr.Addr()) == nil {
		return nil, fmt.Errorf("simnet: cannot listen on %v: %w", addr, syscall.EADDRNOTAVAIL)
	}
	if addr.Port() == 0 {
		addr = h.freePort(addr.Addr())
	}
	if h.socks[addr] != nil {
		return nil, fmt.Errorf("simnet: cannot listen on %v: %w", addr, syscall.EADDRINUSE)
	}
	s := newSocket(h, addr, handler)
	h.socks[addr] = s
	return s, nil
}

func (h *Host) freePort(addr netip.Addr) netip.AddrPort {
	for range 1 << 14 {
		h.port = max(h.port+1, 49152)
		if h.socks[netip.AddrPortFrom(addr, h.port)] == nil {
			break
		}
	}
	return netip.AddrPortFrom(addr, h.port) // in use if all are
}

// SetSilent keeps the host from reporting ports that nobody listens on, as a
// firewall may.
func (h *Host) SetSilent(silent bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.silent = silent
}

// deliver hands a packet to the socket it is for, or reports that there is
// none.
func (i *Interface) deliver(p packet, now time.Duration) {
	s := i.host.socks[p.to]
	if s == nil {
		all := netip.IPv6Unspecified()
		if p.to.Addr().Is4() {
			all = netip.IPv4Unspecified()
		}
		s = i.host.socks[netip.AddrPortFrom(all, p.to.Port())]
	}
	here := i.up && i.host.iface(p.to.Addr()) == i
	if s == nil || !here {
		if here && !i.host.silent && p.report == nil {
			i.refuse(p, now)
		}
		p.buf.release()
	} else if !s.in.put(p) {
		i.downlink.stats.Overflowed++
		p.buf.release()
	}
}
