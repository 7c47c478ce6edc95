package netstack

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// acker is a Link that accepts what it got when told to.
type acker struct {
	mu   sync.Mutex
	got  []byte
	bad  bool // a chunk was not the next one
	fins []uint64
}

func (a *acker) Output(c Chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bad = a.bad || c.Off != uint64(len(a.got))
	a.got = append(a.got, c.Bytes(0, c.Len())...)
	c.Release()
}

func (a *acker) OutputFIN(off uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fins = append(a.fins, off)
}

func (a *acker) Abort()       {}
func (a *acker) Consumed(int) {}

func (a *acker) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.got)
}

// TestPast writes little and much to a Link that accepts it at any time: what goes past
// TCP and what does not are one stream, and TCP ends as if all had gone through it.
func TestPast(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		s := newStack(t)
		a := &acker{}
		e, err := s.Open(a)
		if err != nil {
			t.Fatal(err)
		}
		want := noise(12 << 20)
		written := make(chan error, 1)
		go func() {
			for i := 0; i < len(want); {
				n := min(1+rng.IntN(1<<(1+rng.IntN(18))), len(want)-i)
				if _, err := e.Conn().Write(want[i : i+n]); err != nil {
					written <- err
					return
				}
				i += n
			}
			written <- e.Conn().CloseWrite()
		}()
		ack := rand.New(rand.NewPCG(seed, 4))
		for accepted := 0; accepted < len(want); {
			if got := a.len(); got > accepted {
				accepted += 1 + ack.IntN(got-accepted)
				e.Ack(uint64(accepted))
				continue
			}
			time.Sleep(10 * time.Microsecond)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		e.mu.Lock()
		past := e.tx.past
		e.mu.Unlock()
		if past == 0 || past >= uint64(len(want)) {
			t.Errorf("seed %d: %d of %d bytes went past TCP", seed, past, len(want))
		}
		if a.bad || !bytes.Equal(a.got, want) {
			t.Fatalf("seed %d: the stream is not what was written", seed)
		}
		if len(a.fins) != 1 || a.fins[0] != uint64(len(want)) {
			t.Errorf("seed %d: ends at %v, want %d", seed, a.fins, len(want))
		}
		lossless(t, e)
		e.Ack(uint64(len(want)) + 1)
		e.DeliverFIN()
		e.Conn().Close()
		eventually(t, "endpoint gone", func() bool { return len(s.stack.RegisteredEndpoints()) == 0 })
	}
}

// A conversation does not need TCP at all.
func TestConversationIsPast(t *testing.T) {
	s := newStack(t)
	x, y := pipe(t, s, s, window)
	b := make([]byte, 100)
	for range 10_000 {
		if _, err := x.Conn().Write(b); err != nil {
			t.Fatal(err)
		}
		if n, err := y.Conn().Read(b); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := x.last.Load(); n != 0 {
		t.Errorf("TCP sent the byte before %d", n)
	}
}
