package netstack

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// recorder is a Link that keeps what TCP sends and accepts none of it.
type recorder struct {
	chunks  []Chunk
	fin     uint64
	aborted bool
	read    int
}

func (r *recorder) Output(c Chunk)       { r.chunks = append(r.chunks, c) }
func (r *recorder) OutputFIN(off uint64) { r.fin = off }
func (r *recorder) Abort()               { r.aborted = true }
func (r *recorder) Consumed(n int)       { r.read += n }

func (r *recorder) release() {
	for _, c := range r.chunks {
		c.Release()
	}
	r.chunks = nil
}

// open returns an endpoint on a stack of its own.
func open(t *testing.T) (*Endpoint, *recorder) {
	t.Helper()
	r := &recorder{}
	e, err := newStack(t).Open(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.release)
	return e, r
}

// eventually waits for cond.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// lossless fails the test if TCP ever dropped or retransmitted a segment.
func lossless(t *testing.T, e *Endpoint) {
	t.Helper()
	s := e.conn.tcp.Stats().(*tcp.Stats)
	for what, n := range map[string]uint64{
		"segments dropped":     s.ReceiveErrors.SegmentQueueDropped.Value(),
		"zero windows":         s.ReceiveErrors.ZeroRcvWindowState.Value(),
		"zero windows wanted":  s.ReceiveErrors.WantZeroRcvWindow.Value(),
		"segments resent":      s.SendErrors.Retransmits.Value(),
		"retransmission timer": s.SendErrors.Timeouts.Value(),
	} {
		if n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}

// TestOutput checks that chunks are contiguous, in order and complete, without a
// single Ack until SendBuffer is full.
func TestOutput(t *testing.T) {
	e, r := open(t)
	b := make([]byte, 300_000)
	for i := range b {
		b[i] = byte(i >> 5)
	}
	for i, n := 0, 1; i < len(b); i, n = i+n, n*2 {
		n = min(n, len(b)-i)
		if _, err := e.Conn().Write(b[i : i+n]); err != nil {
			t.Fatal(err)
		}
	}
	e.Conn().CloseWrite()
	// Ten segments fill the congestion window; accepting them opens it.
	got := 0
	for i := 0; got < len(b); i++ {
		eventually(t, "output", func() bool { lock(e); defer unlock(e); return len(r.chunks) > i })
		lock(e)
		c := r.chunks[i]
		unlock(e)
		if c.Off != uint64(got) || c.Len() == 0 || c.Len() > MaxSegment {
			t.Fatalf("chunk %d: offset %d, length %d, want offset %d", i, c.Off, c.Len(), got)
		}
		if string(c.Bytes(0, c.Len())) != string(b[got:got+c.Len()]) {
			t.Fatalf("chunk %d: wrong bytes", i)
		}
		got += c.Len()
		e.Ack(uint64(got))
	}
	eventually(t, "FIN", func() bool { lock(e); defer unlock(e); return r.fin == uint64(len(b)) })
	e.Ack(r.fin + 1)
	lossless(t, e)
}

// TestUnackedSmallWritesBlock checks that tiny writes nobody accepts are bounded
// in number, and go on when accepted.
func TestUnackedSmallWritesBlock(t *testing.T) {
	e, _ := open(t)
	c := e.Conn()
	c.SetWriteDeadline(time.Now().Add(10 * time.Second))
	for n := range maxSmallWrites {
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatalf("write %d of %d: %v", n, maxSmallWrites, err)
		}
	}
	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := c.Write([]byte{1}); err == nil {
		t.Fatalf("more than %d writes did not block", maxSmallWrites)
	}
	c.SetWriteDeadline(time.Time{})
	done := make(chan error)
	go func() {
		_, err := c.Write([]byte{1})
		done <- err
	}()
	for off := uint64(0); off < maxSmallWrites; {
		lock(e)
		off = e.sent.Load()
		unlock(e)
		e.Ack(off)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDeliverRandom delivers views of all sizes to a reader of all sizes.
func TestDeliverRandom(t *testing.T) {
	for seed := range uint64(20) {
		e, r := open(t)
		rng := rand.New(rand.NewPCG(seed, 1))
		const total = 8 << 20
		stream := func(i int) byte { return byte(i>>8 ^ i*7) }
		go func() {
			burst := make([]byte, 64<<10)
			for i := 0; i < total; {
				if e.Unread() > 4<<20 {
					runtime.Gosched()
					continue
				}
				n := min(1+rng.IntN(1<<(1+rng.IntN(16))), total-i)
				for j := range n {
					burst[j] = stream(i + j)
				}
				e.Deliver(buffer.NewViewWithData(burst[:n]))
				i += n
			}
			e.DeliverFIN()
		}()
		rng2 := rand.New(rand.NewPCG(seed, 2))
		b := make([]byte, 256<<10)
		i := 0
		for {
			n, err := e.Conn().Read(b[:1+rng2.IntN(1<<(1+rng2.IntN(17)))])
			for _, got := range b[:n] {
				if got != stream(i) {
					t.Fatalf("seed %d: byte %d is wrong", seed, i)
				}
				i++
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if i != total || r.read != total || e.Unread() != 0 {
			t.Fatalf("seed %d: read %d, consumed %d, unread %d of %d", seed, i, r.read, e.Unread(), total)
		}
		lossless(t, e)
	}
}

// TestDeliverUnreadFlood checks the bound on what is held for a reader that never
// comes, whatever the sizes.
func TestDeliverUnreadFlood(t *testing.T) {
	for _, size := range []int{1, 100, 1400, smallView - 1, smallView, MaxSegment, 64 << 10} {
		e, _ := open(t)
		total := min(16<<20, size*50_000) / size * size
		for i := 0; i < total; i += size {
			e.Deliver(buffer.NewViewSize(size))
		}
		e.DeliverFIN()
		if got := e.Unread(); got != total {
			t.Errorf("size %d: unread %d, want %d", size, got, total)
		}
		e.mu.Lock()
		views := len(e.rx.queue)
		e.mu.Unlock()
		if limit := manyViews + 2*total/smallView; views > limit {
			t.Errorf("size %d: %d bytes are in %d views, limit %d", size, total, views, limit)
		}
		n, err := io.Copy(io.Discard, e.Conn())
		if err != nil || n != int64(total) {
			t.Errorf("size %d: read %d, %v, want %d", size, n, err, total)
		}
		lossless(t, e)
	}
}

func TestDeliverReset(t *testing.T) {
	e, r := open(t)
	why := errors.New("peer left")
	e.Deliver(buffer.NewViewWithData([]byte("last words")))
	e.DeliverReset(why)
	e.DeliverReset(errors.New("again"))
	e.Deliver(buffer.NewViewWithData([]byte("ignored")))
	got, err := io.ReadAll(e.Conn())
	if string(got) != "last words" || err != why {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := e.Conn().Write([]byte("x")); err != why {
		t.Errorf("Write: %v", err)
	}
	e.Conn().Close()
	if r.aborted {
		t.Error("Abort was called")
	}
}

func TestDeliverAfterCloseAborts(t *testing.T) {
	e, r := open(t)
	e.Conn().Close()
	e.Ack(e.sent.Load())
	e.Deliver(buffer.NewViewWithData([]byte("late")))
	eventually(t, "Abort", func() bool { lock(e); defer unlock(e); return r.aborted })
}

// TestResetFrees checks that DeliverReset ends an endpoint in every state.
func TestResetFrees(t *testing.T) {
	for name, before := range map[string]func(*Endpoint){
		"established": func(e *Endpoint) {},
		"FIN sent":    func(e *Endpoint) { e.Conn().CloseWrite() },
		"closed":      func(e *Endpoint) { e.Conn().Close() },
		"closed, acked": func(e *Endpoint) {
			e.Conn().Close()
			e.Ack(e.sent.Load())
		},
		"FIN received":         func(e *Endpoint) { e.DeliverFIN() },
		"FIN received, closed": func(e *Endpoint) { e.DeliverFIN(); e.Conn().Close() },
		"closed, FIN received": func(e *Endpoint) { e.Conn().Close(); e.DeliverFIN() },
		"much unread": func(e *Endpoint) {
			for range 100 {
				e.Deliver(buffer.NewViewSize(MaxSegment))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := open(t)
			before(e)
			e.DeliverReset(io.ErrUnexpectedEOF)
			eventually(t, "endpoint gone", func() bool {
				return len(e.stack.stack.RegisteredEndpoints()) == 0
			})
			e.Conn().Close()
		})
	}
}

func TestStackClose(t *testing.T) {
	before := runtime.NumGoroutine()
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	e, err := s.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	e.Conn().Write([]byte("x"))
	done := make(chan error)
	go func() {
		_, err := e.Conn().Read(make([]byte, 1))
		done <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v, want net.ErrClosed", err)
	}
	if !r.aborted {
		t.Error("Abort was not called")
	}
	if _, err := s.Open(r); !errors.Is(err, ErrStackClosed) {
		t.Errorf("Open: %v", err)
	}
	r.release()
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}

// TestChurn opens and closes connections in every way and checks that nothing
// of them stays behind.
func TestChurn(t *testing.T) {
	n := 10_000
	if testing.Short() || raceEnabled {
		n = 1000
	}
	s := newStack(t)
	one := make([]byte, 1)
	for i := range n {
		x, y := pipe(t, s, s, window)
		a, b := x.Conn(), y.Conn()
		a.Write(one)
		switch i % 4 {
		case 0: // both sides close in turn
			io.ReadFull(b, one)
			a.Close()
			b.Read(one)
			b.Close()
		case 1: // both at once
			io.ReadFull(b, one)
			go a.Close()
			b.Close()
		case 2: // with data unread
			b.Close()
			a.Close()
		case 3:
			b.Abort(io.ErrUnexpectedEOF)
			a.Close()
		}
	}
	eventually(t, "endpoints gone", func() bool {
		return len(s.stack.RegisteredEndpoints()) == 0 && len(s.stack.CleanupEndpoints()) == 0
	})
}

// lock takes TCP's lock, under which Link methods run.
func lock(e *Endpoint)   { e.conn.tcp.LockUser() }
func unlock(e *Endpoint) { e.conn.tcp.UnlockUser() }
