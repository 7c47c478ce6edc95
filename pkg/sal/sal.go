// Package sal is the wire format of the service access layer: the packets that
// nodes exchange in UDP datagrams, the frames inside them, and the names and
// identifiers that packets carry.
//
// It is a leaf. It parses and appends bytes and knows nothing of keys, sockets
// or connections: sealed parts are opaque here. Every parser takes hostile
// input, bounds it before reading it, never allocates, and returns slices that
// alias its input. Every appender grows the slice it is given. All functions
// and values are safe for concurrent use as far as their arguments are.
//
// docs/wire.md draws every packet and says what each byte is for.
package sal

import "encoding/binary"

// Version is the wire version this package speaks, carried in the top two bits
// of every packet.
const Version = 1

// Type says what a packet is. Types below 8 have the short header of an
// established flow, the others are the long packets that open one.
type Type uint8

const (
	TypeData     Type = 0  // stream bytes at an offset
	TypeFIN      Type = 1  // stream bytes, possibly none, and the end of the stream
	TypeAck      Type = 2  // frames only
	TypeRSYN     Type = 3  // frames that move a flow to a new address
	TypeRST      Type = 4  // frames that end the connection at once
	TypeProbe    Type = 5  // frames that test a path or its MTU
	TypeDgram    Type = 6  // one unreliable datagram
	TypeSYN      Type = 8  // opens a connection to a service
	TypeSYNACK   Type = 9  // accepts a SYN
	TypeOpen     Type = 10 // completes the handshake; data may follow in the same datagram
	TypeRefuse   Type = 11 // rejects a SYN
	TypeCookie   Type = 12 // asks for the SYN again, with a cookie
	TypeJoin     Type = 13 // adds a flow to a connection
	TypeJoinAck  Type = 14 // accepts a JOIN
	TypeDatagram Type = 15 // unconnected datagram to a service
)

var typeNames = [16]string{
	TypeData: "DATA", TypeFIN: "FIN", TypeAck: "ACK", TypeRSYN: "RSYN", TypeRST: "RST",
	TypeProbe: "PROBE", TypeDgram: "DGRAM", 7: "TYPE7", TypeSYN: "SYN", TypeSYNACK: "SYNACK",
	TypeOpen: "OPEN", TypeRefuse: "REFUSE", TypeCookie: "COOKIE", TypeJoin: "JOIN",
	TypeJoinAck: "JOINACK", TypeDatagram: "DATAGRAM",
}

// String returns the name used in docs/wire.md, such as "SYNACK".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "TYPE?"
}

// Short reports whether packets of type t have the short header of an
// established flow.
func (t Type) Short() bool { return t <= TypeDgram }

// PeekType returns the type of the packet b, which it does not otherwise check.
// The error is ErrVersion for a packet of another version, else ErrMalformed.
func PeekType(b []byte) (Type, error) {
	if len(b) == 0 {
		return 0, errTruncated
	}
	if v := b[0] >> 6; v != Version {
		return 0, versionErrors[v]
	}
	t := Type(b[0] >> 2 & 15)
	if t == 7 {
		return 0, errType
	}
	return t, nil
}

// PeekFlow returns the destination flow of the packet b, the key of the flow
// table at its receiver. It is false for SYN and DATAGRAM, which are addressed
// to a service, and for what is no packet of this version.
func PeekFlow(b []byte) (FlowID, bool) {
	t, err := PeekType(b)
	switch {
	case err != nil || t == TypeSYN || t == TypeDatagram:
		return 0, false
	case t.Short():
		b = b[1:]
	case len(b) >= 2:
		b = b[2:] // a flags byte comes first
	}
	if len(b) < 4 {
		return 0, false
	}
	return FlowID(binary.BigEndian.Uint32(b)), true
}

// PeekSource returns the flow of the sender of a SYN, of which b may be only
// the start, as in the quote of an ICMP error.
func PeekSource(b []byte) (FlowID, bool) {
	if t, err := PeekType(b); err != nil || t != TypeSYN || len(b) < 8 {
		return 0, false
	}
	return FlowID(binary.BigEndian.Uint32(b[4:])), true
}

// firstByte packs version and type; the two low bits belong to short headers.
func firstByte(t Type) byte { return Version<<6 | byte(t)<<2 }
