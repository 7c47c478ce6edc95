package sal

import (
	"encoding/binary"
	"iter"
	"net/netip"
)

// Source is what one service router adds to the SOURCE extension of a SYN that
// it forwards: where the SYN came from. So the first entry is the dialler, as the
// first router saw it, the next is the first router as the second saw it, and the
// last router is where the instance sees the SYN come from.
type Source struct {
	Addr netip.AddrPort
	Tag  [8]byte // by which that router knows later that it forwarded the SYN; opaque to others
}

const (
	addrLen   = 16 + 2 // IPv6 or IPv4-mapped address, port
	sourceLen = addrLen + 8
	viaLen    = addrLen + 8
)

// Sources appends the entries of the SOURCE extension to dst, the dialler first.
func (e Extensions) Sources(dst []Source) []Source {
	v, _ := e.Get(ExtSource)
	for ; len(v) >= sourceLen; v = v[sourceLen:] {
		dst = append(dst, Source{Addr: getAddr(v), Tag: [8]byte(v[addrLen:])})
	}
	return dst
}

// AppendSource appends one entry to b, the value of a SOURCE extension.
func AppendSource(b []byte, s Source) []byte {
	return append(appendAddr(b, s.Addr), s.Tag[:]...)
}

// Via is the value of the VIA extension, with which an instance marks a SYNACK
// that answers a forwarded SYN and that it sent straight to the dialler.
type Via struct {
	Router netip.AddrPort // the first router, as the next hop saw it
	Ticket [8]byte        // returned in the OPEN, it proves that the dialler is where the routers say
}

// Via returns the VIA extension, and whether there is one.
func (e Extensions) Via() (Via, bool) {
	v, ok := e.Get(ExtVia)
	if !ok || len(v) != viaLen {
		return Via{}, false
	}
	return Via{Router: getAddr(v), Ticket: [8]byte(v[addrLen:])}, true
}

// AppendVia appends the value of a VIA extension.
func AppendVia(b []byte, v Via) []byte { return append(appendAddr(b, v.Router), v.Ticket[:]...) }

// appendAddr appends an address, of IPv4 as IPv4-mapped, and a port.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As16()
	return binary.BigEndian.AppendUint16(append(b, ip[:]...), a.Port())
}

// getAddr reads what appendAddr wrote; b has at least addrLen bytes.
func getAddr(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:]))
}

// SourceAddrs iterates over the addresses of a SOURCE extension's value.
func SourceAddrs(v []byte) iter.Seq[netip.AddrPort] { return addrs(v, sourceLen) }

// Addrs iterates over the addresses of an AVOID extension's value.
func Addrs(v []byte) iter.Seq[netip.AddrPort] { return addrs(v, addrLen) }

// addrs iterates over the addresses at the start of entries of a length.
func addrs(v []byte, entry int) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for ; len(v) >= entry; v = v[entry:] {
			if !yield(getAddr(v)) {
				return
			}
		}
	}
}

// AppendAvoid appends one address to b, the value of an AVOID extension.
func AppendAvoid(b []byte, a netip.AddrPort) []byte { return appendAddr(b, a) }
