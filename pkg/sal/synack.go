package sal

import "encoding/binary"

const synackAES = 1 << 0

// SYNACK accepts a SYN.
type SYNACK struct {
	AES        bool   // the suite is AES-128-GCM, else ChaCha20-Poly1305
	Flow       FlowID // the client's, destination
	Source     FlowID // the server's
	Window     uint32 // initial receive window in bytes
	Noise      []byte // handshake message 2, at most 65535 bytes
	Extensions Extensions
}

// Append appends the packet.
func (p *SYNACK) Append(b []byte) []byte {
	b = p.AppendPrologue(b)
	b = appendLong(b, p.Noise)
	return appendLong(b, p.Extensions)
}

// AppendPrologue appends the fields before the handshake message, to be bound
// into the handshake: flags, both flows and the window.
func (p *SYNACK) AppendPrologue(b []byte) []byte {
	var flags byte
	if p.AES {
		flags |= synackAES
	}
	b = append(b, firstByte(TypeSYNACK), flags)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Flow))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Source))
	return binary.BigEndian.AppendUint32(b, p.Window)
}

// ParseSYNACK parses a SYNACK.
func ParseSYNACK(b []byte) (SYNACK, error) {
	r, flags := long(b, TypeSYNACK)
	p := SYNACK{AES: flags&synackAES != 0}
	p.Flow = FlowID(r.u32())
	p.Source = FlowID(r.u32())
	p.Window = r.u32()
	p.Noise = r.take(int(r.u16()))
	p.Extensions = r.extensions(int(r.u16()))
	if r.err == nil && p.Source == 0 {
		r.fail(errFlow)
	}
	if err := r.end(); err != nil {
		return SYNACK{}, err
	}
	return p, nil
}

// appendLong appends v after its 16-bit length.
func appendLong(b, v []byte) []byte {
	v = v[:min(len(v), 1<<16-1)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}
