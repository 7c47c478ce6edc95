package expose

import (
	"net"
	"net/netip"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// Values of Config.Proxy and Config.ProxyAddress.
const (
	ProxyV2         = "v2"
	AddressUnderlay = "underlay"
	AddressVirtual  = "virtual"
)

// Types of the TLVs that a header has, beside PP2_TYPE_AUTHORITY (0x02), which is the
// service as a host name, and PP2_TYPE_UNIQUE_ID (0x05), the connection's ID. All are
// text. They are from the range that the protocol leaves to applications.
const (
	TLVService = 0xE0 // the service, such as "svc:shop/cart"
	TLVNode    = 0xE1 // the caller's node ID
	TLVName    = 0xE2 // the caller's own label, if it has one
)

// Header returns a header of the PROXY protocol, version 2
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt), that tells a server
// who calls: its underlay or its virtual address, and in TLVs what the connection
// proves of its identity. The destination is the service: our address, or the
// service's virtual one, and the port that the client said, else that of the server.
// Where the underlay address is not known it is the virtual one, and where nothing is
// known the header says so: LOCAL.
func (c Caller) Header(datagram, virtualAddress bool, port uint16) ([]byte, error) {
	h := &proxyproto.Header{Version: 2, Command: proxyproto.PROXY}
	src, dst := unmap(c.Addr), unmap(c.Local)
	name, _ := sal.ParseName(c.Service)
	known := src.Addr().IsValid() && dst.Addr().IsValid()
	if (virtualAddress || !known) && c.Node != (identity.NodeID{}) {
		src = netip.AddrPortFrom(virtual(c.Node), src.Port())
		if to := vaddr.IPv6(name); to.IsValid() {
			dst = netip.AddrPortFrom(to, 0)
		} else if !dst.IsValid() { // of a subtree of names, say
			dst = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if c.Port != 0 {
		port = c.Port
	}
	dst = netip.AddrPortFrom(dst.Addr(), port)
	if src.Addr().Is4() != dst.Addr().Is4() { // one family for both
		src, dst = as6(src), as6(dst)
	}
	switch {
	case !src.Addr().IsValid() || !dst.Addr().IsValid():
		h.Command, h.TransportProtocol = proxyproto.LOCAL, proxyproto.UNSPEC
	case datagram:
		h.TransportProtocol = proxyproto.UDPv6
		if src.Addr().Is4() {
			h.TransportProtocol = proxyproto.UDPv4
		}
		h.SourceAddr, h.DestinationAddr = net.UDPAddrFromAddrPort(src), net.UDPAddrFromAddrPort(dst)
	default:
		h.TransportProtocol = proxyproto.TCPv6
		if src.Addr().Is4() {
			h.TransportProtocol = proxyproto.TCPv4
		}
		h.SourceAddr, h.DestinationAddr = net.TCPAddrFromAddrPort(src), net.TCPAddrFromAddrPort(dst)
	}
	var tlvs []proxyproto.TLV
	add := func(t proxyproto.PP2Type, text string) {
		if text != "" {
			tlvs = append(tlvs, proxyproto.TLV{Type: t, Value: []byte(text)})
		}
	}
	add(proxyproto.PP2_TYPE_AUTHORITY, name.DNS())
	add(proxyproto.PP2_TYPE_UNIQUE_ID, c.Conn)
	add(TLVService, c.Service)
	if c.Node != (identity.NodeID{}) {
		add(TLVNode, c.Node.String())
	}
	add(TLVName, c.Name)
	if err := h.SetTLVs(tlvs); err != nil {
		return nil, err
	}
	return h.Format()
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func as6(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().IsValid() {
		return a
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}
