package sal

import "encoding/binary"

// Open is the third packet of the handshake. The first data rides behind it in
// the same datagram.
type Open struct {
	Flow  FlowID // the server's, destination
	Noise []byte // handshake message 3, at most 65535 bytes
	Rest  []byte // one complete short packet, or nothing
}

// Append appends the packet and Rest.
func (p *Open) Append(b []byte) []byte {
	b = append(b, firstByte(TypeOpen), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Flow))
	b = appendLong(b, p.Noise)
	return append(b, p.Rest...)
}

// ParseOpen parses an OPEN. Rest is not looked into.
func ParseOpen(b []byte) (Open, error) {
	r, _ := long(b, TypeOpen)
	p := Open{Flow: FlowID(r.u32())}
	p.Noise = r.take(int(r.u16()))
	p.Rest = r.rest()
	if r.err != nil {
		return Open{}, r.err
	}
	return p, nil
}
