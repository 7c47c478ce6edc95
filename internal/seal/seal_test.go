package seal

import (
	"bytes"
	"errors"
	"testing"
)

var suites = []Suite{AES128GCM, ChaCha20Poly1305}

// pair returns both ends of one direction of one flow.
func pair(s Suite) (*Sealer, *Opener) {
	secret := [32]byte{1, 2, 3}
	return NewSealer(s, secret, 0), NewOpener(s, secret, 0)
}

func forEachSuite(t *testing.T, f func(t *testing.T, s Suite)) {
	for _, s := range suites {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// packet is a sealed packet on its way.
type packet struct {
	pn     uint64
	phase  byte
	hdr    []byte
	sealed []byte
}

func send(s *Sealer, pn uint64) packet {
	hdr := []byte{0x40 | s.Phase(), byte(pn)}
	return packet{pn, s.Phase(), hdr, s.Seal(nil, hdr, []byte("hello"), pn)}
}

func mustOpen(t *testing.T, o *Opener, p packet) {
	t.Helper()
	got, err := o.Open(nil, p.hdr, p.sealed, p.pn, p.phase)
	if err != nil || string(got) != "hello" {
		t.Fatalf("Open(pn %d, phase %d) = %q, %v; want hello", p.pn, p.phase, got, err)
	}
}

func mustFail(t *testing.T, o *Opener, p packet) {
	t.Helper()
	if got, err := o.Open(nil, p.hdr, p.sealed, p.pn, p.phase); !errors.Is(err, ErrAuth) {
		t.Fatalf("Open(pn %d, phase %d) = %q, %v; want ErrAuth", p.pn, p.phase, got, err)
	}
}

func TestRoundTrip(t *testing.T) {
	forEachSuite(t, func(t *testing.T, suite Suite) {
		s, o := pair(suite)
		hdr := []byte("header")
		for _, n := range []int{0, 1, 15, 16, 17, 1200, 65000} {
			plain := bytes.Repeat([]byte{7}, n)
			dst := []byte("kept")
			sealed := s.Seal(dst, hdr, plain, uint64(n))
			if !bytes.HasPrefix(sealed, dst) || len(sealed) != len(dst)+n+Overhead {
				t.Fatalf("Seal of %d bytes returned %d", n, len(sealed))
			}
			got, err := o.Open([]byte("kept"), hdr, sealed[len(dst):], uint64(n), 0)
			if err != nil || !bytes.Equal(got, append([]byte("kept"), plain...)) {
				t.Fatalf("Open of %d bytes: %v", n, err)
			}
		}
	})
}

// TestTamperedPacket: not one bit of header, ciphertext, number or phase may change.
func TestTamperedPacket(t *testing.T) {
	forEachSuite(t, func(t *testing.T, suite Suite) {
		s, o := pair(suite)
		p := send(s, 9)
		for i := range 8 * len(p.hdr) {
			q := p
			q.hdr = bytes.Clone(p.hdr)
			q.hdr[i/8] ^= 1 << (i % 8)
			mustFail(t, o, q)
		}
		for i := range 8 * len(p.sealed) {
			q := p
			q.sealed = bytes.Clone(p.sealed)
			q.sealed[i/8] ^= 1 << (i % 8)
			mustFail(t, o, q)
		}
		for _, q := range []packet{
			{p.pn + 1, p.phase, p.hdr, p.sealed},
			{p.pn + 1<<24, p.phase, p.hdr, p.sealed},
			{p.pn, p.phase ^ 1, p.hdr, p.sealed},
			{p.pn, p.phase, p.hdr, p.sealed[:Overhead-1]},
			{p.pn, p.phase, p.hdr, nil},
		} {
			mustFail(t, o, q)
		}
		mustOpen(t, o, p)
	})
}

// TestBlindRST: an attacker who knows flow IDs and guesses packet numbers, but
// has no key, cannot produce a packet that opens, and does no harm by trying.
func TestBlindRST(t *testing.T) {
	forEachSuite(t, func(t *testing.T, suite Suite) {
		s, o := pair(suite)
		attacker := NewSealer(suite, [32]byte{9}, 0)
		for pn := range uint64(1000) {
			mustFail(t, o, send(attacker, pn))
			forged := send(attacker, pn)
			forged.phase ^= 1
			mustFail(t, o, forged)
		}
		if o.phase != 0 || o.prev != nil {
			t.Fatal("forged packets moved the key")
		}
		mustOpen(t, o, send(s, 1000))
	})
}

// TestFlowsAndDirectionsDiffer: a packet of one flow or direction never opens as another's.
func TestFlowsAndDirectionsDiffer(t *testing.T) {
	forEachSuite(t, func(t *testing.T, suite Suite) {
		p := send(NewSealer(suite, [32]byte{1}, 0), 1)
		mustOpen(t, NewOpener(suite, [32]byte{1}, 0), p)
		mustFail(t, NewOpener(suite, [32]byte{1}, 1), p)
		mustFail(t, NewOpener(suite, [32]byte{2}, 0), p)
		mustFail(t, NewOpener(1-suite, [32]byte{1}, 0), p)
	})
}

func TestKeyUpdate(t *testing.T) {
	forEachSuite(t, func(t *testing.T, suite Suite) {
		s, o := pair(suite)
		mustOpen(t, o, send(s, 1))
		late := send(s, 2)
		s.Update()
		early, first := send(s, 3), send(s, 4)
		mustOpen(t, o, first) // reordered: 4 before 3 before 2
		mustOpen(t, o, early)
		mustOpen(t, o, late)
		s.Update()
		mustOpen(t, o, send(s, 5))
		mustFail(t, o, late) // two keys back is gone
		for pn := uint64(6); pn < 50; pn++ {
			s.Update()
			mustOpen(t, o, send(s, pn))
		}
	})
}

// TestPreviousKeyIsForgotten: late packets are accepted for a bounded while.
func TestPreviousKeyIsForgotten(t *testing.T) {
	s, o := pair(AES128GCM)
	late := send(s, 1)
	s.Update()
	for pn := uint64(2); o.prev == nil || o.opened < keepPrevious-1; pn++ {
		mustOpen(t, o, send(s, pn))
	}
	mustOpen(t, o, late)
	mustOpen(t, o, send(s, 1<<20))
	if o.prev != nil {
		t.Fatal("previous key is still held")
	}
	mustFail(t, o, late)
}

// TestForgedUpdate: a packet that only claims a new phase changes nothing.
func TestForgedUpdate(t *testing.T) {
	s, o := pair(AES128GCM)
	mustOpen(t, o, send(s, 1))
	p := send(s, 2)
	p.phase ^= 1
	mustFail(t, o, p)
	p.phase ^= 1
	mustOpen(t, o, p)
	s.Update()
	mustOpen(t, o, send(s, 3))
}

func TestForgeryLimit(t *testing.T) {
	s, o := pair(ChaCha20Poly1305)
	p := send(s, 1)
	o.forged = maxForged
	if _, err := o.Open(nil, p.hdr, p.sealed, p.pn, p.phase); !errors.Is(err, ErrForgeries) {
		t.Fatalf("error = %v, want ErrForgeries", err)
	}
}

func TestNeedsUpdate(t *testing.T) {
	s, _ := pair(AES128GCM)
	s.Seal(nil, nil, nil, 0)
	for _, tt := range []struct {
		pn   uint64
		want bool
	}{{0, false}, {updateAfter - 1, false}, {updateAfter, true}, {updateAfter + 5, true}} {
		if got := s.NeedsUpdate(tt.pn); got != tt.want {
			t.Errorf("NeedsUpdate(%d) = %v, want %v", tt.pn, got, tt.want)
		}
	}
	s.Seal(nil, nil, nil, updateAfter)
	if !s.MayUpdate(3) {
		t.Error("MayUpdate = false although the peer has seen the current key")
	}
	s.Update()
	if s.NeedsUpdate(updateAfter + 1) {
		t.Error("NeedsUpdate = true right after an update")
	}
	if s.MayUpdate(updateAfter) {
		t.Error("MayUpdate = true before the peer has seen the current key")
	}
	s.Seal(nil, nil, nil, updateAfter+1)
	if s.MayUpdate(updateAfter) || !s.MayUpdate(updateAfter+1) {
		t.Error("MayUpdate must wait for an acknowledgement under the current key")
	}
}

func TestNoAllocation(t *testing.T) {
	forEachSuite(t, func(t *testing.T, suite Suite) {
		s, o := pair(suite)
		hdr, buf := make([]byte, 12), make([]byte, 1200, 1200+Overhead)
		pn := uint64(0)
		n := testing.AllocsPerRun(100, func() {
			sealed := s.Seal(buf[:0], hdr, buf, pn)
			if _, err := o.Open(sealed[:0], hdr, sealed, pn, 0); err != nil {
				t.Fatal(err)
			}
			pn++
		})
		if n != 0 {
			t.Errorf("Seal and Open allocate %v times, want 0", n)
		}
	})
}

func FuzzOpen(f *testing.F) {
	s := NewSealer(AES128GCM, [32]byte{1}, 0)
	p := send(s, 3)
	f.Add(p.hdr, p.sealed, p.pn, p.phase)
	s.Update()
	p = send(s, 4)
	f.Add(p.hdr, p.sealed, p.pn, p.phase)
	f.Add([]byte{}, []byte{}, uint64(1)<<63, byte(255))
	f.Fuzz(func(t *testing.T, hdr, sealed []byte, pn uint64, phase byte) {
		o := NewOpener(AES128GCM, [32]byte{1}, 0)
		plain, err := o.Open(nil, hdr, sealed, pn, phase&1)
		if err == nil && string(plain) != "hello" {
			t.Fatalf("forged packet opened as %q", plain)
		}
	})
}
