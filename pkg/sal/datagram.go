package sal

import "encoding/binary"

// Datagram carries one message to a service without a connection. Version 1
// reserves it: the layout is fixed, its handshake bytes are not.
type Datagram struct {
	Source  FlowID // where to answer
	Service ServiceID
	Noise   []byte // the rest of the packet
}

// Append appends the packet.
func (p *Datagram) Append(b []byte) []byte {
	b = append(b, firstByte(TypeDatagram), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Source))
	b = append(b, p.Service[:]...)
	return append(b, p.Noise...)
}

// ParseDatagram parses a DATAGRAM.
func ParseDatagram(b []byte) (Datagram, error) {
	r, _ := long(b, TypeDatagram)
	p := Datagram{Source: FlowID(r.u32())}
	copy(p.Service[:], r.take(len(p.Service)))
	p.Noise = r.rest()
	if r.err == nil && p.Source == 0 {
		r.fail(errFlow)
	}
	if r.err != nil {
		return Datagram{}, r.err
	}
	return p, nil
}
