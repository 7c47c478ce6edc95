package sal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// MinSYN is the least size of a SYN in bytes; Append pads to it. No answer to a
// SYN is longer than AmplificationLimit times the SYN, so a forged source
// address is no way to multiply traffic.
const (
	MinSYN             = 256
	AmplificationLimit = 3
)

const (
	synAES      = 1 << 0
	synDatagram = 1 << 1
)

// SYN opens a connection to whichever instance of a service it reaches.
type SYN struct {
	AES        bool      // the sender has fast AES
	Datagram   bool      // a connection of datagrams, not a stream
	HopLimit   uint8     // forwarders left, decremented by each
	Flow       FlowID    // the sender's flow
	Window     uint32    // initial receive window in bytes
	Service    ServiceID // what is dialled
	Noise      []byte    // handshake message 1, at most 255 bytes
	Extensions Extensions
}

// Append appends the packet, padded to MinSYN.
func (p *SYN) Append(b []byte) []byte {
	start := len(b)
	noise := p.Noise[:min(len(p.Noise), 255)]
	b = append(b, firstByte(TypeSYN), p.flags(), p.HopLimit, byte(len(noise)))
	b = p.appendFields(b)
	b = append(b, noise...)
	b = append(b, p.Extensions...)
	return appendPadExt(b, MinSYN-(len(b)-start))
}

// appendPadExt appends a PAD extension of n bytes in all, at least two, unless n
// is not positive.
func appendPadExt(b []byte, n int) []byte {
	if n <= 0 {
		return b
	}
	n = max(n-2, 0)
	return AppendPad(append(b, byte(ExtPad), byte(n)), n)
}

// ParseSYN parses a SYN of at least MinSYN bytes. If the error is ErrVersion
// because of an extension, it returns the SYN as well, to be refused.
func ParseSYN(b []byte) (SYN, error) {
	r, flags := long(b, TypeSYN)
	if r.err == nil && len(b) < MinSYN {
		r.fail(errTruncated)
	}
	p := SYN{AES: flags&synAES != 0, Datagram: flags&synDatagram != 0, HopLimit: r.u8()}
	n := int(r.u8())
	p.Flow = FlowID(r.u32())
	p.Window = r.u32()
	copy(p.Service[:], r.take(len(p.Service)))
	p.Noise = r.take(n)
	p.Extensions = r.extensions(len(r.b))
	if r.err == nil && p.Flow == 0 {
		r.fail(errFlow)
	}
	if r.err != nil && (p.Flow == 0 || !errors.Is(r.err, ErrVersion)) {
		return SYN{}, r.err
	}
	return p, r.err
}

// AppendPrologue appends what no forwarder may alter, to be bound into the
// handshake: flags, flow, window and service. The hop limit and the extensions
// may change on the way, or with a retry.
func (p *SYN) AppendPrologue(b []byte) []byte {
	return p.appendFields(append(b, firstByte(TypeSYN), p.flags()))
}

// Echo is what REFUSE and COOKIE return to prove that their sender saw the SYN:
// the first 16 bytes of the SHA-256 of its flow and handshake message.
func (p *SYN) Echo() [16]byte {
	var buf [4 + 255]byte
	binary.BigEndian.PutUint32(buf[:], uint32(p.Flow))
	n := copy(buf[4:], p.Noise)
	sum := sha256.Sum256(buf[:4+n])
	return [16]byte(sum[:16])
}

func (p *SYN) flags() (f byte) {
	if p.AES {
		f |= synAES
	}
	if p.Datagram {
		f |= synDatagram
	}
	return f
}

func (p *SYN) appendFields(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(p.Flow))
	b = binary.BigEndian.AppendUint32(b, p.Window)
	return append(b, p.Service[:]...)
}
