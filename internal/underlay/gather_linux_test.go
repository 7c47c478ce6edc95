package underlay

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// What many goroutines send at once arrives once each and whole, whatever the sizes, and
// some of it together.
func TestGather(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		const senders, rounds = 32, 60
		var mu sync.Mutex
		seen := make(map[uint32]int)
		back := make([]chan bool, senders)
		for i := range back {
			back[i] = make(chan bool, rounds)
		}
		b := listen(t, u, addr, func(batch *Batch) {
			datagrams(batch, func(d []byte) {
				id := binary.BigEndian.Uint32(d)
				for i, c := range d[4:] {
					if c != byte(id) {
						t.Errorf("byte %d of datagram %d is %d", 4+i, id, c)
						break
					}
				}
				if want := sizeOf(id); len(d) != want {
					t.Errorf("datagram %d has %d bytes, want %d", id, len(d), want)
				}
				mu.Lock()
				seen[id]++
				mu.Unlock()
				back[id>>16] <- true
			})
		})
		defer b.Close()
		s := listen(t, u, addr, ignore)
		defer s.Close()
		a, ok := s.(Gatherer)
		if !ok {
			return // the portable way
		}
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				for k := range rounds {
					id := uint32(i<<16 | k)
					d := make([]byte, sizeOf(id))
					for j := range d {
						d[j] = byte(id)
					}
					binary.BigEndian.PutUint32(d, id)
					if err := a.Gather(d, b.LocalAddr()); err != nil {
						t.Error(err)
					}
					select {
					case <-back[i]:
					case <-time.After(10 * time.Second):
						t.Errorf("datagram %d did not arrive", id)
						return
					}
				}
			})
		}
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		for id, n := range seen {
			if n != 1 {
				t.Errorf("datagram %d arrived %d times", id, n)
			}
		}
		if len(seen) != senders*rounds {
			t.Errorf("%d of %d datagrams arrived", len(seen), senders*rounds)
		}
	})
}

// sizeOf is mostly the same.
func sizeOf(id uint32) int {
	if id%7 == 0 {
		return 4 + int(id%1150)
	}
	return 100
}

func TestRunsOfWaiting(t *testing.T) {
	one, two := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	w := waitings.New().(*waiting)
	for _, d := range []struct {
		to   netip.AddrPort
		size int
	}{{one, 100}, {one, 100}, {one, 60}, {one, 60}, {one, 100}, {two, 100}, {two, 100}} {
		if !w.add(make([]byte, d.size), d.to) {
			t.Fatal("no room")
		}
	}
	want := []run{{one, 100, 260, true}, {one, 60, 60, false}, {one, 100, 100, false}, {two, 100, 200, false}}
	if len(w.runs) != len(want) {
		t.Fatalf("got %v, want %v", w.runs, want)
	}
	for i := range want {
		if w.runs[i] != want[i] {
			t.Errorf("run %d is %v, want %v", i, w.runs[i], want[i])
		}
	}
	n := len(w.buf)
	for w.add(make([]byte, gatherMost), one) {
		n += gatherMost
	}
	if len(w.buf) != n || n > gatherRoom {
		t.Errorf("%d bytes wait, want %d, at most %d", len(w.buf), n, gatherRoom)
	}
	w = waitings.New().(*waiting)
	for range maxSegments + 1 {
		w.add([]byte{1}, one)
	}
	if len(w.runs) != 2 || w.runs[0].size != maxSegments {
		t.Errorf("runs %v", w.runs)
	}
}

func TestGatherAfterClose(t *testing.T) {
	each(t, func(t *testing.T, u *UDP, addr netip.AddrPort) {
		a := listen(t, u, addr, ignore)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		g, ok := a.(Gatherer)
		if !ok {
			return
		}
		for range 10 {
			if err := g.Gather([]byte("late"), a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
				t.Fatal(err)
			}
		}
	})
}
