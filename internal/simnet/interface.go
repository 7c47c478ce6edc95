package simnet

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/serval-net/serval/internal/underlay"
)

// Interface is a network interface. It keeps its name, index and links while
// its addresses come and go.
type Interface struct {
	host             *Host
	index            int // from 1
	addrs            []netip.Addr
	up               bool
	uplink, downlink *Link
}

// Add gives the host another interface, which is up, or an address that was
// removed back to the interface it was on. It panics if the address is taken.
func (h *Host) Add(addr netip.Addr) *Interface {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	ifc := h.former[addr]
	if ifc == nil {
		name := addr.String()
		if h.nat != nil {
			name = h.nat.public.String() + "/" + name
		}
		ifc = &Interface{
			host: h, index: len(h.ifaces) + 1, up: true,
			uplink: newLink(n, name+" up"), downlink: newLink(n, name+" down"),
		}
		h.ifaces = append(h.ifaces, ifc)
	}
	ifc.add(addr)
	return ifc
}

// Add gives the interface another address. It panics if the address is taken.
func (i *Interface) Add(addr netip.Addr) {
	i.host.net.mu.Lock()
	defer i.host.net.mu.Unlock()
	i.add(addr)
}

func (i *Interface) add(addr netip.Addr) {
	h := i.host
	if h.realm()[addr] != nil || h.net.nats[addr] != nil {
		panic("simnet: address " + addr.String() + " is taken")
	}
	h.realm()[addr] = i
	i.addrs = append(i.addrs, addr)
	delete(h.former, addr)
	h.changed()
}

// Remove takes an address from the host: sending from it fails, and what
// arrives for it is lost. Sockets there live on, and work again when the
// address is back. The interface stays.
func (h *Host) Remove(addr netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	ifc := h.iface(addr)
	if ifc == nil {
		return
	}
	delete(h.realm(), addr)
	ifc.addrs = slices.DeleteFunc(ifc.addrs, func(a netip.Addr) bool { return a == addr })
	h.former[addr] = ifc
	h.changed()
}

// realm is the address space that the host is in.
func (h *Host) realm() realm {
	if h.nat != nil {
		return h.nat.inner
	}
	return h.net.outer
}

// Interface returns the interface with an address, or nil.
func (h *Host) Interface(addr netip.Addr) *Interface {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.iface(addr)
}

func (h *Host) iface(addr netip.Addr) *Interface {
	for _, ifc := range h.ifaces {
		if slices.Contains(ifc.addrs, addr) {
			return ifc
		}
	}
	return nil
}

// SetUp switches the interface on or off. While it is off it is not running,
// sending from it fails, and what arrives is lost.
func (i *Interface) SetUp(up bool) {
	i.host.net.mu.Lock()
	defer i.host.net.mu.Unlock()
	if i.up != up {
		i.up = up
		i.host.changed()
	}
}

// Name is "if0" for the host's first interface, "if1" for the next.
func (i *Interface) Name() string { return fmt.Sprintf("if%d", i.index-1) }

// Uplink carries what the interface sends.
func (i *Interface) Uplink() *Link { return i.uplink }

// Downlink carries what the interface receives.
func (i *Interface) Downlink() *Link { return i.downlink }

// Interfaces implements underlay.Network.
func (h *Host) Interfaces() ([]underlay.Interface, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	all := make([]underlay.Interface, len(h.ifaces))
	for k, i := range h.ifaces {
		all[k] = underlay.Interface{
			Name: i.Name(), Index: i.index, Addrs: slices.Clone(i.addrs),
			MTU: i.uplink.mtu(), Running: i.up,
		}
	}
	return all, nil
}
