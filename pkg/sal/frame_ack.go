package sal

import "time"

// MaxAckRanges is the most ranges one ACK frame carries. The newest 64 are
// enough: what is older has long been declared lost.
const MaxAckRanges = 64

// maxAckDelay bounds the delay field, in microseconds, far above any real one.
const maxAckDelay = uint64(time.Minute / time.Microsecond)

// PNRange is a range of packet numbers, both ends included.
type PNRange struct{ First, Last uint64 }

// AckFrame acknowledges packets of one flow.
type AckFrame struct {
	Flow   uint8         // index of the flow within the connection
	Delay  time.Duration // between receiving the largest packet number and sending this
	Ranges [MaxAckRanges]PNRange
	N      int // ranges in use: descending, disjoint, with a gap between any two
}

// AppendAck appends an ACK frame for the flow with the given index. Ranges are
// descending, disjoint and not adjacent; the first 64 are used, and with none
// nothing is appended. The delay is sent in microseconds, at most a minute.
func AppendAck(b []byte, flow uint8, delay time.Duration, ranges []PNRange) []byte {
	if len(ranges) == 0 {
		return b
	}
	if len(ranges) > MaxAckRanges {
		ranges = ranges[:MaxAckRanges]
	}
	b = append(b, byte(FrameAck), flow)
	b = appendVarint(b, ranges[0].Last)
	b = appendVarint(b, min(uint64(max(delay, 0)/time.Microsecond), maxAckDelay))
	b = appendVarint(b, uint64(len(ranges)-1))
	b = appendVarint(b, ranges[0].Last-ranges[0].First)
	low := ranges[0].First
	for _, r := range ranges[1:] {
		b = appendVarint(b, low-r.Last-2) // 0 stands for one missing packet number
		b = appendVarint(b, r.Last-r.First)
		low = r.First
	}
	return b
}

// parse reads the fields in the order of RFC 9000 section 19.3.
func (a *AckFrame) parse(r *reader) {
	a.N = 0
	a.Flow = r.u8()
	last := r.varint()
	a.Delay = time.Duration(min(r.varint(), maxAckDelay)) * time.Microsecond
	more := r.varint()
	if more >= MaxAckRanges {
		r.fail(errAckCount)
		return
	}
	length := r.varint()
	for i := 0; r.err == nil; i++ {
		if length > last {
			r.fail(errAckRange)
			return
		}
		first := last - length
		a.Ranges[i] = PNRange{first, last}
		if i == int(more) {
			a.N = i + 1
			return
		}
		gap := r.varint()
		if first < 2 || gap > first-2 {
			r.fail(errAckRange)
			return
		}
		last, length = first-gap-2, r.varint()
	}
}
