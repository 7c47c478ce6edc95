package sal

import "time"

// AckEvery is an ACK_EVERY frame: the sender of data asks for an
// acknowledgement at least for every so many bytes and after at most so long,
// because its window is that small or that large.
type AckEvery struct {
	Flow  uint8  // index of the flow it is about
	Bytes uint64 // of packets
	Delay time.Duration
}

// AppendAckEvery appends an ACK_EVERY frame. The delay is sent in microseconds.
func AppendAckEvery(b []byte, e AckEvery) []byte {
	b = append(b, byte(FrameAckEvery), e.Flow)
	b = appendVarint(b, e.Bytes)
	return appendVarint(b, uint64(max(e.Delay, 0)/time.Microsecond))
}

func (e *AckEvery) parse(r *reader) {
	e.Flow = r.u8()
	e.Bytes = r.varint()
	e.Delay = time.Duration(min(r.varint(), 1<<32)) * time.Microsecond
}
