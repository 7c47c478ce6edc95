package netstack

import (
	"errors"
	"net"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
)

// errPeerReset is what a test connection returns after its peer aborted.
var errPeerReset = errors.New("reset by the peer")

// wire is a Link that copies everything to the endpoint at its other end. It
// keeps at most window bytes unread there; what exceeds them it keeps, without
// acknowledging it, until the reader made room.
type wire struct {
	local, remote *Endpoint
	peer          *wire
	window        int

	mu      sync.Mutex
	queue   []Chunk
	unread  int
	fin     bool
	finOff  uint64
	finSent bool
	reset   bool
}

func (w *wire) Output(c Chunk) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reset {
		c.Release()
		return
	}
	w.queue = append(w.queue, c)
	w.run()
}

func (w *wire) OutputFIN(off uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fin, w.finOff = true, off
	w.run()
}

func (w *wire) Abort() {
	w.mu.Lock()
	w.drop()
	remote := w.remote
	w.mu.Unlock()
	if remote != nil {
		remote.DeliverReset(errPeerReset)
		w.peer.mu.Lock()
		w.peer.drop()
		w.peer.mu.Unlock()
	}
}

// drop stops the wire.
func (w *wire) drop() {
	for _, c := range w.queue {
		c.Release()
	}
	w.queue, w.reset = nil, true
}

// Consumed moves the window of the other direction.
func (w *wire) Consumed(n int) {
	p := w.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread -= n
	p.run()
}

// run delivers what the window allows.
func (w *wire) run() {
	if w.remote == nil {
		return
	}
	i := 0
	for ; i < len(w.queue) && w.unread < w.window; i++ {
		c := w.queue[i]
		w.queue[i] = Chunk{}
		v := buffer.NewViewWithData(c.Bytes(0, c.Len()))
		end := c.Off + uint64(c.Len())
		n := c.Len()
		c.Release()
		w.unread += n - w.remote.Deliver(v)
		w.local.Ack(end)
	}
	w.queue = append(w.queue[:0], w.queue[i:]...)
	if len(w.queue) == 0 && w.fin && !w.finSent {
		w.finSent = true
		w.remote.DeliverFIN()
		w.local.Ack(w.finOff + 1)
	}
}

// newStack returns a stack that ends with the test.
func newStack(t testing.TB) *Stack {
	t.Helper()
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// pipe opens two endpoints and joins them.
func pipe(t testing.TB, a, b *Stack, window int) (x, y *Endpoint) {
	t.Helper()
	wx, wy := &wire{window: window}, &wire{window: window}
	wx.peer, wy.peer = wy, wx
	x, err := a.Open(wx)
	if err != nil {
		t.Fatal(err)
	}
	y, err = b.Open(wy)
	if err != nil {
		t.Fatal(err)
	}
	wx.local, wx.remote = x, y
	wy.local, wy.remote = y, x
	return x, y
}

var _ net.Conn = (*Conn)(nil)
