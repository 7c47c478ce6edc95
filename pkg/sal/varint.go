package sal

import "encoding/binary"

// maxVarint is the largest value of a QUIC variable-length integer, RFC 9000
// section 16.
const maxVarint = 1<<62 - 1

// consumeVarint returns the integer at the front of b and its length, which is
// 0 if b is too short. Longer encodings than needed are accepted, as in QUIC.
func consumeVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch {
	case b[0]>>6 == 0:
		return uint64(b[0]), 1
	case b[0]>>6 == 1 && len(b) >= 2:
		return uint64(binary.BigEndian.Uint16(b) & 0x3fff), 2
	case b[0]>>6 == 2 && len(b) >= 4:
		return uint64(binary.BigEndian.Uint32(b) & 0x3fffffff), 4
	case b[0]>>6 == 3 && len(b) >= 8:
		return binary.BigEndian.Uint64(b) & maxVarint, 8
	}
	return 0, 0
}

// appendVarint appends v in its shortest form. Values above maxVarint, which no
// counter of a connection reaches, are sent as maxVarint.
func appendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, 1<<14|uint16(v))
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, 2<<30|uint32(v))
	}
	return binary.BigEndian.AppendUint64(b, 3<<62|min(v, maxVarint))
}
