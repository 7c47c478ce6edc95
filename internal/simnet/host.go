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
	socks  map[netip.AddrPort]*socket
	port   uint16 // the last one chosen for a socket
	silent bool
}

var _ underlay.Network = (*Host)(nil)

// Interface is a network interface with one address.
type Interface struct {
	host             *Host
	addr             netip.Addr
	up               bool
	uplink, downlink *Link
}

func newHost(n *Network, nat *NAT, addrs []netip.Addr) *Host {
	h := &Host{net: n, nat: nat, socks: make(map[netip.AddrPort]*socket), port: 49151}
	n.mu.Lock()
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()
	for _, a := range addrs {
		h.Add(a)
	}
	return h
}

// Add gives the host another interface, which is up. It panics if the address
// is taken.
func (h *Host) Add(addr netip.Addr) *Interface {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	r, name := n.outer, addr.String()
	if h.nat != nil {
		r, name = h.nat.inner, h.nat.public.String()+"/"+name
	}
	if r[addr] != nil || n.nats[addr] != nil {
		panic("simnet: address " + addr.String() + " is taken")
	}
	ifc := &Interface{
		host: h, addr: addr, up: true,
		uplink: newLink(n, name+" up"), downlink: newLink(n, name+" down"),
	}
	r[addr] = ifc
	h.ifaces = append(h.ifaces, ifc)
	return ifc
}

// Interface returns the interface with an address, or nil.
func (h *Host) Interface(addr netip.Addr) *Interface {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.iface(addr)
}

func (h *Host) iface(addr netip.Addr) *Interface {
	for _, ifc := range h.ifaces {
		if ifc.addr == addr {
			return ifc
		}
	}
	return nil
}

// SetUp switches the interface on or off. While it is off it is not listed,
// sending from it fails, and what arrives is lost.
func (i *Interface) SetUp(up bool) {
	i.host.net.mu.Lock()
	defer i.host.net.mu.Unlock()
	i.up = up
}

// Uplink carries what the interface sends.
func (i *Interface) Uplink() *Link { return i.uplink }

// Downlink carries what the interface receives.
func (i *Interface) Downlink() *Link { return i.downlink }

// LocalAddrs lists the addresses of the interfaces that are up.
func (h *Host) LocalAddrs() ([]netip.Addr, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var addrs []netip.Addr
	for _, ifc := range h.ifaces {
		if ifc.up {
			addrs = append(addrs, ifc.addr)
		}
	}
	return addrs, nil
}

// SourceFor is dst itself if it is local, else the first address that is up
// and of dst's IP version.
func (h *Host) SourceFor(dst netip.Addr) (netip.Addr, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if ifc := h.source(dst); ifc != nil {
		return ifc.addr, nil
	}
	return netip.Addr{}, fmt.Errorf("simnet: no route to %v: %w", dst, syscall.ENETUNREACH)
}

func (h *Host) source(dst netip.Addr) *Interface {
	if ifc := h.iface(dst); ifc != nil && ifc.up {
		return ifc
	}
	for _, ifc := range h.ifaces {
		if ifc.up && ifc.addr.Is4() == dst.Is4() {
			return ifc
		}
	}
	return nil
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
	if s == nil || !i.up {
		if i.up && !i.host.silent && p.report == nil {
			i.refuse(p, now)
		}
		p.buf.release()
	} else if !s.in.put(p) {
		i.downlink.stats.Overflowed++
		p.buf.release()
	}
}
