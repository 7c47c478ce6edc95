package flowset

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// buffer is a Sink that keeps what it gets.
type buffer struct {
	b    []byte
	room [64]byte // small, so that one run takes several
	fin  int
}

func (s *buffer) Reserve(n int) []byte { return s.room[:] }
func (s *buffer) Commit(n int)         { s.b = append(s.b, s.room[:n]...) }
func (s *buffer) FIN()                 { s.fin++ }

// FuzzStream carries a stream from a sender to a receiver through a network
// that cuts, drops, repeats and reorders as the input says.
func FuzzStream(f *testing.F) {
	f.Add(uint64(1), []byte{10, 200, 3, 0, 255, 17, 80})
	f.Add(uint64(2), []byte{})
	f.Add(uint64(3), []byte{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3})
	f.Fuzz(func(t *testing.T, seed uint64, fate []byte) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var s sender
		var r receiver
		var want []byte
		var got buffer
		r.window.init(8192, 8192)
		s.limit = 8192
		type run struct {
			off uint64
			b   []byte
			fin bool
		}
		var wire []run
		next := func() byte {
			if len(fate) == 0 {
				return byte(rng.Uint32())
			}
			x := fate[0]
			fate = fate[1:]
			return x
		}
		for step := 0; step < 5000 && !r.finished; step++ {
			switch x := next(); {
			case x < 40 && !s.fin: // write
				d := make([]byte, 1+int(next())*8)
				for i := range d {
					d[i] = byte(len(want) + i*7)
				}
				want = append(want, d...)
				s.write(bytesData(d))
				if len(want) > 20000 || x == 1 {
					s.fin = true
				}
			case x < 140: // send
				off, n, repair := s.pick(1 + int(next())*4)
				fin := s.fin && !s.finSent && off+uint64(n) == s.end && (!repair || s.next == s.end)
				if n == 0 && !fin {
					break
				}
				b := bytes.Clone(s.bytes(off, n, make([]byte, n)))
				s.took(off, n, repair)
				s.finSent = s.finSent || fin
				wire = append(wire, run{off, b, fin})
			case len(wire) == 0:
			case x < 230: // arrive, in any order, perhaps to arrive again
				i := rng.IntN(len(wire))
				p := wire[i]
				if x < 220 {
					wire = append(wire[:i], wire[i+1:]...)
				}
				if err := r.fits(p.off, len(p.b), p.fin); err != nil {
					t.Fatal(err)
				}
				if p.off <= r.next {
					r.deliver(p.off, p.b, &got)
				} else if r.room() {
					r.pieces.add(p.off, bytes.Clone(p.b), nil)
				} else {
					s.onLost(p.off, len(p.b))
					s.finSent = s.finSent && !p.fin
					break
				}
				if p.fin && !r.fin {
					r.fin, r.end = true, p.off+uint64(len(p.b))
				}
				r.settle(&got)
				r.window.consume(len(got.b) - int(r.window.consumed))
				s.limit = r.window.edge
				s.onAcked(p.off, len(p.b))
				s.finAcked = s.finAcked || p.fin
			default: // get lost
				i := rng.IntN(len(wire))
				p := wire[i]
				wire = append(wire[:i], wire[i+1:]...)
				s.onLost(p.off, len(p.b))
				s.finSent = s.finSent && (!p.fin || s.finAcked)
			}
			if r.pieces.held > 8192 || r.pieces.held < 0 {
				t.Fatalf("holds %d bytes", r.pieces.held)
			}
		}
		if !bytes.HasPrefix(want, got.b) {
			t.Fatalf("%d bytes differ from what was written", len(got.b))
		}
		if r.finished && (len(got.b) != len(want) || got.fin != 1) {
			t.Fatalf("ended after %d of %d bytes, %d times", len(got.b), len(want), got.fin)
		}
	})
}

func TestFits(t *testing.T) {
	const window = 1000
	for _, tc := range []struct {
		name string
		set  func(r *receiver)
		off  uint64
		n    int
		fin  bool
		want error
	}{
		{"all of the window", nil, 0, window, false, nil},
		{"beyond the window", nil, 1, window, false, errBeyondWindow},
		{"far beyond", nil, 1 << 40, 1, false, errBeyondWindow},
		{"the end", nil, 10, 10, true, nil},
		{"beyond the end", func(r *receiver) { r.fin, r.end = true, 15 }, 10, 10, false, errBeyondFIN},
		{"another end", func(r *receiver) { r.fin, r.end = true, 25 }, 10, 10, true, errBeyondFIN},
		{"the same end again", func(r *receiver) { r.fin, r.end = true, 20 }, 10, 10, true, nil},
		{"an end before what was delivered", func(r *receiver) { r.next = 50 }, 10, 10, true, errBeyondFIN},
		{"an end before what is held", func(r *receiver) { r.pieces.add(50, make([]byte, 5), nil) }, 10, 10, true, errBeyondFIN},
	} {
		var r receiver
		r.window.init(window, window)
		if tc.set != nil {
			tc.set(&r)
		}
		if got := r.fits(tc.off, tc.n, tc.fin); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
