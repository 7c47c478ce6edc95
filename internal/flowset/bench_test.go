package flowset

import (
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

// drain is a Sink that reads and forgets.
type drain struct {
	conn *Conn
	now  flow.Time
	room []byte
}

func (d *drain) Reserve(n int) []byte { return d.room }
func (d *drain) Commit(n int)         { d.conn.Consumed(d.now, n) }
func (d *drain) FIN()                 {}

// BenchmarkPacket is what one full packet costs from Write to Consumed, both
// ends, acknowledgements included: no network, no loss, 1 ms of round trip.
// BenchmarkAEAD is the part of it that is encryption; the rest is the engine.
func BenchmarkPacket(b *testing.B) {
	w := &world{now: 1e9}
	x, y := newPair(w, 1, time.Millisecond)
	in, back := &drain{conn: y.conn, room: make([]byte, 1<<16)}, &drain{conn: x.conn, room: make([]byte, 1<<16)}
	data := make([]byte, 64<<10)
	now := w.now
	// one train over and its acknowledgements back
	turn := func() (packets int) {
		for x.conn.Accepted() == x.conn.Stats().Written && x.conn.Stats().Queued < 1<<20 {
			x.conn.Write(bytesData(data))
		}
		in.now, back.now = now, now
		for {
			n, seg, _ := x.conn.Transmit(now, x.buf)
			if n == 0 {
				break
			}
			for p := x.buf[:n]; len(p) > 0; packets++ {
				k := min(seg, len(p))
				if err := y.conn.Receive(now.Add(time.Millisecond/2), y.flow, p[:k], in); err != nil {
					b.Fatal(err)
				}
				p = p[k:]
			}
		}
		now = now.Add(time.Millisecond)
		x.conn.Timeout(now)
		y.conn.Timeout(now)
		for {
			n, _, _ := y.conn.Transmit(now, y.buf)
			if n == 0 {
				break
			}
			if err := x.conn.Receive(now, x.flow, y.buf[:n], back); err != nil {
				b.Fatal(err)
			}
		}
		return packets
	}
	for range 2000 {
		turn()
	}
	b.ReportAllocs()
	b.SetBytes(1472)
	b.ResetTimer()
	for done := 0; done < b.N; {
		done += turn()
	}
}

// BenchmarkAEAD seals and opens a full packet.
func BenchmarkAEAD(b *testing.B) {
	s := seal.NewSealer(seal.AES128GCM, [32]byte{1}, 0)
	o := seal.NewOpener(seal.AES128GCM, [32]byte{1}, 0)
	buf, plain := make([]byte, 1500), make([]byte, 1472-dataOverhead)
	out := make([]byte, 1500)
	b.ReportAllocs()
	b.SetBytes(1472)
	for pn := uint64(1); b.Loop(); pn++ {
		hdr := sal.AppendData(buf[:0], sal.TypeData, false, 0, 1, pn, 0)
		pkt := s.Seal(hdr, hdr, plain, pn)
		if _, err := o.Open(out[:0], pkt[:len(hdr)], pkt[len(hdr):], pn, 0); err != nil {
			b.Fatal(err)
		}
	}
}
