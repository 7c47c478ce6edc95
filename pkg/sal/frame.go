package sal

// FrameType says what a frame is. Frames live in the sealed part of packets.
type FrameType uint8

const (
	FramePad       FrameType = 0  // nothing, one byte; fills probes
	FramePing      FrameType = 1  // asks for an acknowledgement
	FrameAck       FrameType = 2  // acknowledges packet numbers of one flow
	FrameWindow    FrameType = 3  // raises the peer's send limit
	FrameReset     FrameType = 4  // ends the connection with a code and a reason
	FrameChallenge FrameType = 5  // asks the other end of a path to echo 8 bytes
	FrameResponse  FrameType = 6  // echoes a CHALLENGE
	FrameRSYN      FrameType = 7  // moves a flow to where this packet comes from
	FramePaths     FrameType = 8  // the sender's addresses, and how it wants the flows used
	FrameBlocked   FrameType = 10 // says the send limit holds the sender up
	FrameAckEvery  FrameType = 11 // asks for acknowledgements more or less often
)

// Frame is one parsed frame. It is large: keep one per connection and reuse it.
// Only the fields of its Type are meaningful, the others keep what earlier
// frames left in them.
type Frame struct {
	Type   FrameType
	Ack    AckFrame   // ACK
	Offset uint64     // WINDOW: stream bytes the peer may send in all; BLOCKED: the limit that blocks
	Code   uint64     // RESET
	Reason []byte     // RESET: UTF-8, at most 255 bytes; aliases the input
	Data   [8]byte    // CHALLENGE, RESPONSE
	RSYN   RSYNFrame  // RSYN
	Paths  PathsFrame // PATHS
	Every  AckEvery   // ACK_EVERY
}

// ParseFrame parses the first frame of b into f and returns its length, at
// least 1. A run of PAD is one frame. An unknown type is an error: frames are
// sealed, so only a peer that breaks the protocol sends one.
func ParseFrame(b []byte, f *Frame) (n int, err error) {
	if len(b) == 0 {
		return 0, errTruncated
	}
	r := reader{b: b[1:]}
	f.Type = FrameType(b[0])
	switch f.Type {
	case FramePad:
		for len(r.b) > 0 && r.b[0] == byte(FramePad) {
			r.b = r.b[1:]
		}
	case FramePing:
	case FrameAck:
		f.Ack.parse(&r)
	case FrameWindow, FrameBlocked:
		f.Offset = r.varint()
	case FrameReset:
		f.parseReset(&r)
	case FrameChallenge, FrameResponse:
		copy(f.Data[:], r.take(8))
	case FrameRSYN:
		f.RSYN.parse(&r)
	case FramePaths:
		f.Paths.parse(&r)
	case FrameAckEvery:
		f.Every.parse(&r)
	default:
		return 0, errFrameType
	}
	if r.err != nil {
		return 0, r.err
	}
	return len(b) - len(r.b), nil
}

var frameNames = [...]string{"PAD", "PING", "ACK", "WINDOW", "RESET", "CHALLENGE", "RESPONSE", "RSYN", "PATHS", "", "BLOCKED", "ACK_EVERY"}

// String returns the name used in docs/wire.md, such as "ACK_EVERY".
func (t FrameType) String() string {
	if int(t) < len(frameNames) && frameNames[t] != "" {
		return frameNames[t]
	}
	return "FRAME?"
}

// Eliciting reports whether the receiver must acknowledge a packet that holds
// such a frame.
func (t FrameType) Eliciting() bool { return t != FramePad && t != FrameAck }
