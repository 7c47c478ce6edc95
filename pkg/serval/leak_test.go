package serval

import (
	"crypto/sha256"
	"hash"
	"io"
	"net/netip"
	"runtime"
	"sync"
	"testing"
)

// footprint is what connections might leave behind on two nodes.
type footprint struct{ flows, connections, pairs, goroutines int }

func (w *two) footprint() (f footprint) {
	for _, n := range []*Node{w.client, w.server} {
		s := n.Stats()
		f.flows += s.Flows
		f.connections += s.Connections
		n.pairs.mu.Lock()
		f.pairs += len(n.pairs.m)
		n.pairs.mu.Unlock()
	}
	f.goroutines = runtime.NumGoroutine()
	return f
}

// TestMigratedConnectionsLeaveNothing opens connections that each move once, and
// close.
func TestMigratedConnectionsLeaveNothing(t *testing.T) {
	w := newTwo(t, single(), single())
	ln, err := w.server.Listen("svc:many")
	must(t, err)
	go acceptEcho(ln)
	one := func() {
		c, err := w.client.Dial("svc:many")
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		to := w.c1
		if c.Flows()[0].Local.Addr() == w.c1 {
			to = w.c2
		}
		if err := ask(c, "before"); err != nil {
			t.Error(err)
			return
		}
		migrate(t, c, to)
		if err := ask(c, "after"); err != nil {
			t.Error(err)
		}
	}
	round := func(n int) {
		var wg sync.WaitGroup
		work := make(chan struct{})
		for range 32 {
			wg.Go(func() {
				for range work {
					if !t.Failed() {
						one()
					}
				}
			})
		}
		for range n {
			work <- struct{}{}
		}
		close(work)
		wg.Wait()
	}
	empty := func() {
		eventually(t, "all connections are forgotten", func() bool {
			f := w.footprint()
			return f.flows+f.connections+f.pairs == 0
		})
	}
	total := size(10_000)
	round(total / 10)
	empty()
	before, heap := w.footprint(), heapInUse()
	round(total - total/10)
	empty()
	eventually(t, "no goroutine is left", func() bool { return w.footprint().goroutines <= before.goroutines+4 })
	if grown := int(heapInUse()) - int(heap); grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	} else {
		t.Logf("%d connections, heap %+d KiB", total, grown>>10)
	}
}

// TestManyMigrations moves one connection to and fro under load. What arrives is
// what was sent, and no state grows with the moves.
func TestManyMigrations(t *testing.T) {
	w := newTwo(t, single(), single())
	a, b := w.pairOn(w.client, w.server)
	type result struct {
		sum []byte
		err error
	}
	sent, got := make(chan result, 1), make(chan result, 1)
	moved := make(chan struct{})
	go func() {
		u := &until{sha256.New(), a, moved}
		_, err := stream(u, 1<<40, 5)
		if err == errMoved {
			err = a.CloseWrite()
		}
		sent <- result{u.Sum(nil), err}
	}()
	var n int64
	go func() {
		var r result
		n, r.sum, r.err = collect(b)
		got <- r
	}()
	moves := max(size(1000), 100)
	var heap uint64
	for i := range moves {
		migrate(t, a, []netip.Addr{w.c2, w.c1}[i%2])
		if i == moves/10 {
			heap = heapInUse()
		}
	}
	grown := int(heapInUse()) - int(heap)
	f := w.footprint()
	close(moved)
	s, r := <-sent, <-got
	must(t, s.err)
	must(t, r.err)
	if string(s.sum) != string(r.sum) {
		t.Errorf("%d bytes arrived, not what was sent", n)
	}
	if f.flows != 2 || f.pairs > 2 || a.Flows()[0].Moves < moves-1 {
		t.Errorf("after %d moves: %+v%s", moves, f, describe(a))
	}
	if grown > 48<<20 { // two windows of 24 MiB may be full now, and not before
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	t.Logf("%d moves, %d bytes, heap %+d KiB, longest stall %v", moves, n, grown>>10, a.Stats().LongestStall)
}

// until writes until told to stop, and hashes what it wrote.
type until struct {
	hash.Hash
	to   io.Writer
	stop chan struct{}
}

var errMoved = io.ErrClosedPipe

func (u *until) Write(b []byte) (int, error) {
	select {
	case <-u.stop:
		return 0, errMoved
	default:
	}
	u.Hash.Write(b)
	return u.to.Write(b)
}
