package netstack

import "gvisor.dev/gvisor/pkg/buffer"

// What is said in a conversation, little at a time and acknowledged before the next,
// goes to the Link past TCP, which would only queue it, number it and forget it again:
// that takes longer than all that the Link does. TCP has the rest: whatever must wait.
const (
	maxPast       = 16 << 10 // bytes at once
	maxPastUnsent = 64 << 10 // bytes that the Link has not accepted
)

// quiet reports whether n bytes may go past TCP, unless something happens meanwhile: all
// that TCP sent is accepted, and of what went past it little is not.
func (e *Endpoint) quiet(n int) bool {
	if n == 0 || n > maxPast {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mayPass(n)
}

// mayPass is quiet where n is little. The caller holds e.mu.
func (e *Endpoint) mayPass(n int) bool {
	sent := e.sent.Load()
	return !e.done && !e.fin.Load() && e.tx.acked >= e.last.Load() &&
		sent-e.tx.acked+uint64(n) <= maxPastUnsent && len(e.tx.small) < maxSmallWrites/2 &&
		e.conn.written == sent-e.tx.past
}

// past sends v past TCP, and takes it over, if it still may. The caller holds wr.op.
func (e *Endpoint) past(v *buffer.View) bool {
	n := v.Size()
	e.conn.tcp.LockUser()
	defer e.conn.tcp.UnlockUser()
	off := e.sent.Load()
	e.mu.Lock()
	if !e.mayPass(n) {
		e.mu.Unlock()
		return false
	}
	e.tx.past += uint64(n)
	e.tx.turn = off + uint64(n)
	e.sent.Store(e.tx.turn)
	e.noteSmall(n, e.tx.turn)
	e.mu.Unlock()
	e.link.Output(Chunk{Off: off, data: v.AsSlice(), view: v})
	return true
}

// ofTCP returns how many bytes are acked of those that TCP sent. All that it had sent
// before something went past it were, see quiet.
func (a *ackState) ofTCP() uint64 { return max(a.acked, a.turn) - a.past }
