package sal

import (
	"encoding/binary"
	"net/netip"
)

// AddrFrame announces (ADDR_ADD) or withdraws (ADDR_DEL) an address of the
// sender. ADDR_DEL carries only the ID under which the address was announced.
type AddrFrame struct {
	ID   uint8
	Addr netip.AddrPort
}

// AppendAddrAdd appends an ADDR_ADD frame. IPv4-mapped addresses are sent as
// IPv4 and zones are dropped; for an address that is not valid nothing is
// appended.
func AppendAddrAdd(b []byte, id uint8, addr netip.AddrPort) []byte {
	ip := addr.Addr().Unmap()
	switch {
	case ip.Is4():
		a := ip.As4()
		b = append(append(b, byte(FrameAddrAdd), id, 4), a[:]...)
	case ip.Is6():
		a := ip.As16()
		b = append(append(b, byte(FrameAddrAdd), id, 16), a[:]...)
	default:
		return b
	}
	return binary.BigEndian.AppendUint16(b, addr.Port())
}

// AppendAddrDel appends an ADDR_DEL frame.
func AppendAddrDel(b []byte, id uint8) []byte {
	return append(b, byte(FrameAddrDel), id)
}

func (f *AddrFrame) parse(r *reader) {
	f.ID = r.u8()
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
	f.Addr = netip.AddrPortFrom(ip, r.u16())
}
