package sal

import (
	"encoding/binary"
	"net/netip"
)

const (
	// MaxPathFlows and MaxPathAddrs bound the lists of a PATHS frame.
	MaxPathFlows = 16
	MaxPathAddrs = 16

	// NeverCost is the cost of a flow that must carry no data: its sender
	// cannot, or does not want to, receive on it.
	NeverCost = 255
)

// PathsFrame is all that the sender has to say about its end of the
// connection's paths. It is sent whole at every change; the one with the
// highest revision counts, so that loss and reordering do not matter.
type PathsFrame struct {
	Revision uint64
	Mode     uint8 // how the sender wants the paths used; 0 leaves it to the receiver
	Flows    [MaxPathFlows]FlowCost
	NFlows   int
	Addrs    [MaxPathAddrs]netip.AddrPort // where the sender can be reached, best first
	NAddrs   int
}

// FlowCost is the price of a flow to its sender: data takes the cheapest flows
// that work. Flows that are not listed cost 0.
type FlowCost struct {
	Index uint8
	Cost  uint8
}

// AppendPaths appends a PATHS frame. IPv4-mapped addresses are sent as IPv4 and
// zones are dropped.
func AppendPaths(b []byte, f *PathsFrame) []byte {
	b = appendVarint(append(b, byte(FramePaths)), f.Revision)
	b = append(b, f.Mode, byte(f.NFlows))
	for _, c := range f.Flows[:f.NFlows] {
		b = append(b, c.Index, c.Cost)
	}
	b = append(b, byte(f.NAddrs))
	for _, a := range f.Addrs[:f.NAddrs] {
		ip := a.Addr().Unmap()
		b = append(b, byte(ip.BitLen()/8))
		b = append(b, ip.AsSlice()...)
		b = binary.BigEndian.AppendUint16(b, a.Port())
	}
	return b
}

func (f *PathsFrame) parse(r *reader) {
	f.Revision = r.varint()
	f.Mode = r.u8()
	f.NFlows, f.NAddrs = 0, 0
	n := int(r.u8())
	if n > MaxPathFlows {
		r.fail(errPaths)
		return
	}
	for i := range f.Flows[:n] {
		f.Flows[i] = FlowCost{Index: r.u8(), Cost: r.u8()}
	}
	f.NFlows = n
	if n = int(r.u8()); n > MaxPathAddrs {
		r.fail(errPaths)
		return
	}
	for i := range f.Addrs[:n] {
		f.Addrs[i] = r.addr()
	}
	f.NAddrs = n
}

// addr reads the length of an address, the address and a port.
func (r *reader) addr() netip.AddrPort {
	var ip netip.Addr
	switch n := r.u8(); n {
	case 4, 16:
		ip, _ = netip.AddrFromSlice(r.take(int(n)))
	default:
		r.fail(errAddr)
	}
	if ip.Is4In6() {
		r.fail(errAddr) // one address, one encoding
	}
	return netip.AddrPortFrom(ip, r.u16())
}
