package flowset

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

// attacker holds the keys of a peer and sends what it likes.
type attacker struct {
	victim *end
	sealer *seal.Sealer
	pn     uint64
}

func newAttacker() *attacker {
	w := &world{now: 1e9}
	_, b := newPair(w, 1, 20*time.Millisecond)
	b.through = func(int, []byte, func()) {}
	return &attacker{victim: b, sealer: seal.NewSealer(seal.AES128GCM, [32]byte{1}, 0)}
}

// data sends stream bytes, after frames if there are any.
func (a *attacker) data(t sal.Type, off uint64, payload, frames []byte) {
	a.pn++
	hdr := sal.AppendData(nil, t, len(frames) > 0, 0, 10, a.pn, off)
	plain := payload
	if len(frames) > 0 {
		plain = append([]byte{byte(len(frames) >> 8), byte(len(frames))}, frames...)
		plain = append(plain, payload...)
	}
	a.victim.receive(a.sealer.Seal(hdr, hdr, plain, a.pn))
}

// frames sends nothing but frames.
func (a *attacker) frames(b []byte) {
	a.pn++
	hdr := sal.AppendShort(nil, sal.TypeAck, false, 0, 10, a.pn)
	a.victim.receive(a.sealer.Seal(hdr, hdr, b, a.pn))
}

// TestViolations: a peer that breaks the protocol ends its own connection.
func TestViolations(t *testing.T) {
	small := make([]byte, 100)
	for _, tc := range []struct {
		name string
		do   func(a *attacker)
		want string // reason told to the peer; empty: the connection lives
	}{
		{"nothing wrong", func(a *attacker) { a.data(sal.TypeData, 0, small, nil); a.data(sal.TypeData, 500, small, nil) }, ""},
		{"beyond the window", func(a *attacker) { a.data(sal.TypeData, DefaultWindow-50, small, nil) }, errBeyondWindow.Error()},
		{"beyond the end", func(a *attacker) { a.data(sal.TypeFIN, 100, small, nil); a.data(sal.TypeData, 150, small, nil) }, errBeyondFIN.Error()},
		{"two ends", func(a *attacker) { a.data(sal.TypeFIN, 100, small, nil); a.data(sal.TypeFIN, 150, small, nil) }, errBeyondFIN.Error()},
		{"an end within the stream", func(a *attacker) { a.data(sal.TypeData, 0, small, nil); a.data(sal.TypeFIN, 10, small[:5], nil) }, errBeyondFIN.Error()},
		{"acknowledges what was never sent", func(a *attacker) { a.frames(sal.AppendAck(nil, 0, 0, []sal.PNRange{{First: 1, Last: 99}})) }, flow.ErrAckUnsent.Error()},
		{"acknowledges on a flow that is not", func(a *attacker) { a.frames(sal.AppendAck(nil, 7, 0, []sal.PNRange{{First: 1, Last: 1}})) }, flow.ErrAckUnsent.Error()},
		{"shrinks the window", func(a *attacker) { a.frames(sal.AppendWindow(nil, 1)) }, ""},
		{"datagrams to a stream", func(a *attacker) {
			a.pn++
			hdr := sal.AppendShort(nil, sal.TypeDgram, false, 0, 10, a.pn)
			a.victim.receive(a.sealer.Seal(hdr, hdr, small, a.pn))
		}, ""},
	} {
		a := newAttacker()
		tc.do(a)
		var r *ResetError
		switch err := a.victim.conn.Err(); {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (!errors.As(err, &r) || r.Code != ResetProtocol || r.Reason != tc.want):
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
}

// TestStrangeControl: what a peer says of paths may be nonsense; it costs the
// connection nothing, and only acknowledgements of what was never sent end it.
func TestStrangeControl(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for round := range 300 {
		a := newAttacker()
		c := a.victim.conn
		for i := range uint8(round % 3) {
			a.victim.more = append(a.victim.more, &wire{w: a.victim.w, dead: true})
			c.AddFlow(flow.New(1e9, flow.Config{Index: i + 1, Local: 11, Remote: 11, Sealer: a.sealer,
				Opener: seal.NewOpener(seal.AES128GCM, [32]byte{1, i}, 0)}), State(rng.IntN(6)))
		}
		revision := uint64(0)
		for range 50 {
			var p sal.PathsFrame
			p.Revision, p.Mode = rng.Uint64N(1<<uint(rng.IntN(60)+1)), uint8(rng.IntN(256))
			p.NFlows = rng.IntN(sal.MaxPathFlows + 1)
			for i := range p.NFlows {
				p.Flows[i] = sal.FlowCost{Index: uint8(rng.IntN(256)), Cost: uint8(rng.IntN(256))}
			}
			newer := p.Revision > revision
			revision = max(revision, p.Revision)
			a.frames(sal.AppendPaths(nil, &p))
			if c.peerRevision != revision || newer && p.Mode <= 3 && c.peerMode != Mode(p.Mode) || c.peerMode > ModeRedundant {
				t.Fatalf("revision %d, mode %v after %+v", c.peerRevision, c.peerMode, p)
			}
			a.frames(sal.AppendChallenge(nil, [8]byte{1}))
			a.frames(sal.AppendResponse(nil, [8]byte{2}))
			a.frames(sal.AppendRSYN(nil, sal.RSYNFrame{Verno: rng.Uint64N(9), Flow: 5, Index: uint8(rng.IntN(256))}))
			c.SetCost(uint8(rng.IntN(256)), uint8(rng.IntN(256)))
			c.SetState(1e9, uint8(rng.IntN(256)), Parked)
			c.Moved(1e9, uint8(3+rng.IntN(250)), 0, 0, nil)
			c.Probe(uint8(rng.IntN(256)))
			if c.SealPath(1e9, 77, sal.TypeRSYN, nil, a.victim.buf) != nil || c.SealPath(1e9, 0, sal.TypeRSYN, make([]byte, 9), a.victim.buf[:20]) != nil {
				t.Fatal("sealed what cannot be")
			}
		}
		if c.Err() != nil {
			t.Fatal(c.Err())
		}
		a.frames(sal.AppendAck(nil, uint8(rng.IntN(250)), 0, []sal.PNRange{{First: 1 << 40, Last: 1 << 41}}))
		if c.Err() == nil {
			t.Fatal("acknowledged what was never sent")
		}
	}
}

// TestForged: without the keys nothing has any effect.
func TestForged(t *testing.T) {
	a := newAttacker()
	a.sealer = seal.NewSealer(seal.AES128GCM, [32]byte{99}, 0)
	for _, kind := range []sal.Type{sal.TypeData, sal.TypeFIN} {
		a.data(kind, 0, make([]byte, 100), nil)
	}
	a.frames(sal.AppendReset(nil, 1, "forged"))
	if a.victim.got != 0 || a.victim.fin || a.victim.conn.Err() != nil || a.victim.flow.OwesAck() || a.victim.flow.LargestReceived() != 0 {
		t.Errorf("forged packets: %d bytes, fin %v, %v", a.victim.got, a.victim.fin, a.victim.conn.Err())
	}
}

// TestReplay: every packet counts once.
func TestReplay(t *testing.T) {
	a := newAttacker()
	a.data(sal.TypeData, 0, make([]byte, 100), nil)
	a.pn = 0
	a.data(sal.TypeData, 100, make([]byte, 100), nil) // the same number again
	if a.victim.got != 100 || a.victim.flow.Stats().Duplicates != 1 {
		t.Errorf("%d bytes, %d duplicates", a.victim.got, a.victim.flow.Stats().Duplicates)
	}
}

// TestMemoryIsBounded: what a peer can make us hold is its window and a little.
func TestMemoryIsBounded(t *testing.T) {
	const most = 12 << 20
	big := make([]byte, 60000)
	for _, tc := range []struct {
		name string
		send func(a *attacker, i int)
	}{
		{"overlapping pieces", func(a *attacker, i int) { a.data(sal.TypeData, uint64(1+i), big, nil) }},
		{"tiny pieces of large packets", func(a *attacker, i int) { a.data(sal.TypeData, uint64(1+2*i), big[:1], big[:50000]) }},
		{"empty pieces", func(a *attacker, i int) { a.data(sal.TypeData, uint64(1+i), nil, nil) }},
		{"gaps in packet numbers", func(a *attacker, i int) { a.pn++; a.frames(sal.AppendPing(nil)) }},
		{"challenges", func(a *attacker, i int) { a.frames(sal.AppendChallenge(nil, [8]byte{byte(i)})) }},
	} {
		a := newAttacker()
		before := heapInUse()
		for i := range 2000 {
			tc.send(a, i)
		}
		if grew := int(heapInUse()) - int(before); grew > most {
			t.Errorf("%s: %d MB after 2000 packets", tc.name, grew>>20)
		}
		runtime.KeepAlive(a)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestDatagramQueue: the oldest give way, nothing breaks when the path shrinks.
func TestDatagramQueue(t *testing.T) {
	w := &world{now: 1e9}
	a, b := newPair(w, 1, 20*time.Millisecond)
	a.conn.datagram, b.conn.datagram = true, true
	a.through = func(_ int, pkt []byte, deliver func()) { w.at(w.now.Add(1e7), deliver) }
	b.through = func(_ int, pkt []byte, deliver func()) { w.at(w.now.Add(1e7), deliver) }
	if err := a.conn.SendDatagram(nil, make([]byte, a.conn.MaxDatagram()+1)); err != ErrTooLong {
		t.Errorf("too long: %v", err)
	}
	for range 3 * maxQueued {
		if err := a.conn.SendDatagram(nil, make([]byte, a.conn.MaxDatagram())); err != nil {
			t.Fatal(err)
		}
	}
	a.conn.CloseWrite()
	a.pump()
	w.run(w.now.Add(5*time.Second), never)
	if b.dgrams != maxQueued || a.conn.dgrams.dropped != 2*maxQueued {
		t.Errorf("%d arrived, %d dropped", b.dgrams, a.conn.dgrams.dropped)
	}
	if !b.fin {
		t.Error("the end did not arrive")
	}
}
