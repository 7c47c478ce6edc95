package sal

import "encoding/binary"

const (
	// ShortHeaderLen is the clear header of ACK, RSYN, RST, PROBE and DGRAM.
	ShortHeaderLen = 8

	// DataHeaderLen is the clear header of DATA and FIN: the short header and
	// the low 32 bits of the stream offset.
	DataHeaderLen = 12
)

const (
	framesBit = 1 << 1
	phaseBit  = 1 << 0
)

// Short is the clear header of a packet on an established flow. The bytes from
// 0 to Len are the additional data of the seal, what follows is sealed.
type Short struct {
	Type   Type
	Frames bool   // the plaintext starts with frames, see SplitFrames
	Phase  byte   // key phase, 0 or 1
	Flow   FlowID // destination
	PN     uint32 // low 24 bits of the packet number, see DecodePN
	Offset uint32 // DATA and FIN: low 32 bits of the stream offset, see DecodeOffset
	Len    int    // length of the header
}

// ParseShort parses the header of a packet on an established flow.
func ParseShort(b []byte) (s Short, err error) {
	if len(b) < ShortHeaderLen {
		return s, errTruncated
	}
	if v := b[0] >> 6; v != Version {
		return s, versionErrors[v]
	}
	t := Type(b[0] >> 2 & 15)
	if t > TypeDgram {
		return s, errNotType
	}
	if t <= TypeFIN {
		if len(b) < DataHeaderLen {
			return s, errTruncated
		}
		s.Offset = binary.BigEndian.Uint32(b[ShortHeaderLen:])
		s.Len = DataHeaderLen
	} else {
		s.Len = ShortHeaderLen
	}
	s.Type = t
	s.Frames = b[0]&framesBit != 0
	s.Phase = b[0] & phaseBit
	s.Flow = FlowID(binary.BigEndian.Uint32(b[1:]))
	s.PN = binary.BigEndian.Uint32(b[4:]) & pnMask // byte 4 is the flow's last
	return s, nil
}

// AppendShort appends the 8-byte header of an ACK, RSYN, RST, PROBE or DGRAM.
// Only the low bit of phase and the low 24 bits of pn are sent.
func AppendShort(b []byte, t Type, frames bool, phase byte, flow FlowID, pn uint64) []byte {
	b0 := firstByte(t) | phase&phaseBit
	if frames {
		b0 |= framesBit
	}
	return append(b, b0,
		byte(flow>>24), byte(flow>>16), byte(flow>>8), byte(flow),
		byte(pn>>16), byte(pn>>8), byte(pn))
}

// AppendData appends the 12-byte header of a DATA or FIN whose payload starts
// at stream offset off, in bytes; only its low 32 bits are sent.
func AppendData(b []byte, t Type, frames bool, phase byte, flow FlowID, pn, off uint64) []byte {
	b = AppendShort(b, t, frames, phase, flow, pn)
	return binary.BigEndian.AppendUint32(b, uint32(off))
}

// SplitFrames splits the plaintext of a DATA, FIN or DGRAM packet whose Frames
// bit is set: a 16-bit length, as many bytes of frames, then the payload.
func SplitFrames(plaintext []byte) (frames, payload []byte, err error) {
	if len(plaintext) < 2 {
		return nil, nil, errTruncated
	}
	n := int(binary.BigEndian.Uint16(plaintext))
	if rest := plaintext[2:]; n <= len(rest) {
		return rest[:n:n], rest[n:], nil
	}
	return nil, nil, errFramesLen
}
