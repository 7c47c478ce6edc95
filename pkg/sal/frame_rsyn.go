package sal

import "encoding/binary"

// RSYNFrame tells the peer that a flow has moved to the address its packet
// comes from.
type RSYNFrame struct {
	Verno uint64  // rises with every move of the flow, so that a late RSYN cannot undo a newer one
	Flow  FlowID  // where to send from now on
	Index uint8   // which flow of the connection moved
	Nonce [8]byte // echoed in a RESPONSE frame by the peer
}

// AppendRSYN appends an RSYN frame.
func AppendRSYN(b []byte, f RSYNFrame) []byte {
	b = appendVarint(append(b, byte(FrameRSYN)), f.Verno)
	b = binary.BigEndian.AppendUint32(b, uint32(f.Flow))
	b = append(b, f.Index)
	return append(b, f.Nonce[:]...)
}

func (f *RSYNFrame) parse(r *reader) {
	f.Verno = r.varint()
	f.Flow = FlowID(r.u32())
	f.Index = r.u8()
	copy(f.Nonce[:], r.take(len(f.Nonce)))
	if r.err == nil && f.Flow == 0 {
		r.fail(errFlow)
	}
}
