package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Chunk is a run of bytes the application wrote, at most MaxSegment of them,
// contiguous in memory. Whoever holds it must call Release exactly once.
type Chunk struct {
	// Off is the stream offset of the first byte.
	Off uint64

	data []byte

	// What keeps data alive: one of them.
	pkt  *stack.PacketBuffer
	view *buffer.View
}

// chunkOverhead is about what a Chunk holds beside its bytes: a packet buffer,
// its views and its headers.
const chunkOverhead = 768

// newChunk keeps the payload of pkt. A payload in pieces, which is what TCP
// makes of small writes it had to hold back, is copied into one.
func newChunk(off uint64, pkt *stack.PacketBuffer) Chunk {
	if b, ok := payload(pkt); ok {
		return Chunk{Off: off, data: b, pkt: pkt.IncRef()}
	}
	v := pkt.Data().AsRange().ToView()
	b := v.AsSlice()
	flat := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	return Chunk{Off: off, data: b, pkt: flat}
}

// payload returns the payload of an outgoing packet if it is contiguous.
func payload(pkt *stack.PacketBuffer) ([]byte, bool) {
	views, skip := pkt.AsViewList()
	skip += pkt.HeaderSize()
	for v := views.Front(); v != nil; v = v.Next() {
		if skip < v.Size() {
			b := v.AsSlice()[skip:]
			return b, len(b) == pkt.Data().Size()
		}
		skip -= v.Size()
	}
	return nil, false
}

// Len returns the number of bytes.
func (c Chunk) Len() int { return len(c.data) }

// Bytes returns the n bytes that start from bytes into the chunk. They alias the
// chunk's memory, which must not be written, and are valid until Release.
func (c Chunk) Bytes(from, n int) []byte { return c.data[from : from+n : from+n] }

// Cost returns the memory the chunk holds, for bounding queues: a thousand
// one-byte chunks cost far more than a thousand bytes.
func (c Chunk) Cost() int { return len(c.data) + chunkOverhead }

// Release gives the memory back.
func (c Chunk) Release() {
	if c.view != nil {
		c.view.Release()
		return
	}
	c.pkt.DecRef()
}
