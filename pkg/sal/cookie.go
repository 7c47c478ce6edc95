package sal

import "encoding/binary"

// Cookie asks for the same SYN again with Cookie in a COOKIE extension, which
// proves that the client receives at its address before the server keeps any
// state for it.
type Cookie struct {
	Flow   FlowID   // the client's, destination
	Echo   [16]byte // SYN.Echo
	Cookie []byte   // opaque to the client, 1 to MaxCookie bytes
}

// Append appends the packet.
func (p *Cookie) Append(b []byte) []byte {
	b = append(b, firstByte(TypeCookie), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Flow))
	b = append(b, p.Echo[:]...)
	c := p.Cookie[:min(len(p.Cookie), MaxCookie)]
	return append(append(b, byte(len(c))), c...)
}

// ParseCookie parses a COOKIE.
func ParseCookie(b []byte) (Cookie, error) {
	r, _ := long(b, TypeCookie)
	p := Cookie{Flow: FlowID(r.u32())}
	copy(p.Echo[:], r.take(len(p.Echo)))
	n := int(r.u8())
	if r.err == nil && (n == 0 || n > MaxCookie) {
		r.fail(errCookieLen)
	}
	p.Cookie = r.take(n)
	if err := r.end(); err != nil {
		return Cookie{}, err
	}
	return p, nil
}
