package flowset

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/pkg/sal"
)

// filter loses the packets that drop picks.
func filter(l *wire, drop func(pkt []byte) bool) func(size int, pkt []byte, deliver func()) {
	return func(size int, pkt []byte, deliver func()) {
		if !drop(pkt) {
			l.send(size, deliver)
		}
	}
}

// TestLostOnce loses the first packet of a kind and nothing else.
func TestLostOnce(t *testing.T) {
	for _, tc := range []struct {
		name   string
		kind   sal.Type
		from   func(a, b *end) *end // whose packet is lost
		within time.Duration
	}{
		{"FIN", sal.TypeFIN, func(a, b *end) *end { return a }, 500 * time.Millisecond},
		{"first data", sal.TypeData, func(a, b *end) *end { return a }, 500 * time.Millisecond},
		{"first answer", sal.TypeAck, func(a, b *end) *end { return b }, 500 * time.Millisecond},
	} {
		w, a, b := pair(1, 100e6/8, 20*time.Millisecond, nil)
		lost := 0
		e := tc.from(a, b)
		e.through = filter(e.out, func(pkt []byte) bool {
			h, err := sal.ParseShort(pkt)
			if err == nil && h.Type == tc.kind && lost == 0 {
				lost++
				return true
			}
			return false
		})
		a.bulk(300 << 10)
		b.sum = sha256.New()
		w.run(w.now.Add(5*time.Second), func() bool { return b.fin && a.conn.Sent() })
		if lost != 1 || !b.fin || !a.conn.Sent() {
			t.Errorf("%s: lost %d, ended %v, acknowledged %v", tc.name, lost, b.fin, a.conn.Sent())
		}
		if took := w.now.Sub(1e9); took > tc.within {
			t.Errorf("%s: took %v", tc.name, took)
		}
	}
}

// TestLostWindow loses WINDOW frames while the sender has no credit left.
func TestLostWindow(t *testing.T) {
	w, a, b := pair(1, 100e6/8, 20*time.Millisecond, nil)
	b.read = false // the application does not read
	a.bulk(0)
	w.run(w.now.Add(2*time.Second), never)
	if b.got != DefaultWindow || a.flow.InFlight() != 0 {
		t.Fatalf("%d bytes passed a window of %d, %d in flight", b.got, DefaultWindow, a.flow.InFlight())
	}
	lost := 0
	b.through = filter(b.out, func([]byte) bool { lost++; return lost <= 2 })
	b.read = true
	b.conn.Consumed(w.now, b.got)
	b.pump()
	w.run(w.now.Add(2*time.Second), never)
	if b.got < 4*DefaultWindow || lost < 3 {
		t.Errorf("stuck at %d bytes after %d packets back", b.got, lost)
	}
}

// TestLostRST: the peer goes on sending, and is told again.
func TestLostRST(t *testing.T) {
	w, a, b := pair(1, 100e6/8, 20*time.Millisecond, nil)
	a.bulk(0)
	w.run(w.now.Add(200*time.Millisecond), never)
	lost := 0
	b.through = filter(b.out, func(pkt []byte) bool {
		h, _ := sal.ParseShort(pkt)
		if h.Type == sal.TypeRST && lost < 3 {
			lost++
			return true
		}
		return false
	})
	b.conn.Reset(ResetAborted, "enough")
	b.pump()
	w.run(w.now.Add(2*time.Second), func() bool { return a.conn.Err() != nil })
	if r, ok := a.conn.Err().(*ResetError); !ok || r.Reason != "enough" || lost != 3 {
		t.Errorf("after %d lost: %v", lost, a.conn.Err())
	}
}

// TestSilence: a peer that is gone ends the connection after its patience, and
// until then is asked ever more seldom.
func TestSilence(t *testing.T) {
	w, a, b := pair(1, 100e6/8, 20*time.Millisecond, nil)
	a.conn.patience = 30 * time.Second
	a.bulk(0)
	w.run(w.now.Add(100*time.Millisecond), never)
	sent := 0
	a.through = filter(a.out, func([]byte) bool { sent++; return true })
	b.through = filter(b.out, func([]byte) bool { return true })
	w.run(w.now.Add(25*time.Second), never)
	if a.conn.Err() != nil || sent > 600 {
		t.Fatalf("after 25 s: %v, %d packets", a.conn.Err(), sent)
	}
	w.run(w.now.Add(15*time.Second), func() bool { return a.conn.Err() != nil })
	if a.conn.Err() != ErrTimedOut {
		t.Errorf("after %v: %v", w.now.Sub(1e9), a.conn.Err())
	}
}

// TestOneWay: a peer that is heard but does not hear is asked ever more seldom,
// too, and the connection goes on as soon as it does. Many connections between two
// hosts that cannot keep up lose just so, and would else keep them from it.
func TestOneWay(t *testing.T) {
	w, a, b := pair(1, 100e6/8, 20*time.Millisecond, nil)
	a.bulk(0)
	b.bulk(0)
	w.run(w.now.Add(100*time.Millisecond), never)
	sent, works := 0, a.through
	a.through = filter(a.out, func([]byte) bool { sent++; return true })
	w.run(w.now.Add(time.Second), never) // acknowledges what was under way
	sent = 0
	w.run(w.now.Add(10*time.Second), never)
	if a.conn.Err() != nil || sent > 150 {
		t.Errorf("in 10 s: %v, %d packets", a.conn.Err(), sent)
	}
	a.through = works
	before := b.conn.Accepted()
	since := w.now
	w.run(w.now.Add(5*time.Second), func() bool { return b.conn.Accepted() > before })
	if d := w.now.Sub(since); d > 600*time.Millisecond {
		t.Errorf("went on after %v", d)
	}
}

// TestKeyUpdates changes keys every few hundred packets of a transfer with loss
// and reordering.
func TestKeyUpdates(t *testing.T) {
	w, a, b := pair(1, 100e6/8, 20*time.Millisecond, func(f, back *wire) { f.loss, f.reorder = 0.01, 0.02 })
	const size = 4 << 20
	a.bulk(size)
	b.sum = sha256.New()
	updates, next := 0, uint64(300)
	a.through = func(n int, _ []byte, deliver func()) {
		if pn := a.flow.NextPN(); pn > next && a.flow.Sealer.MayUpdate(a.flow.LargestAcked()) {
			a.flow.Sealer.Update()
			updates, next = updates+1, pn+300
		}
		a.out.send(n, deliver)
	}
	w.run(w.now.Add(30*time.Second), func() bool { return b.fin && a.conn.Sent() })
	if !b.fin || string(a.sum.Sum(nil)) != string(b.sum.Sum(nil)) || updates < 5 {
		t.Errorf("%d of %d bytes, %d updates", b.got, size, updates)
	}
}

// TestPathShrinks: packets that fitted no longer do, and nobody says so.
func TestPathShrinks(t *testing.T) {
	w, a, b := pair(1, 100e6/8, 20*time.Millisecond, nil)
	a.bulk(0)
	w.run(w.now.Add(500*time.Millisecond), never)
	if a.flow.MTU() != 1472 {
		t.Fatalf("found %d", a.flow.MTU())
	}
	a.out.mtu = 1280
	from := b.got
	w.run(w.now.Add(3*time.Second), never)
	if a.flow.MTU() != flow.BaseMTU || b.got-from < 10<<20 {
		t.Errorf("packets of %d, %d bytes in 3 s", a.flow.MTU(), b.got-from)
	}
}
