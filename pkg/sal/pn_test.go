package sal

import (
	"math/rand/v2"
	"testing"
)

// closest is the readable twin of DecodePN and DecodeOffset: of the three
// numbers around near that end in the given low bits, the closest one.
func closest(low, near uint64, bits uint) uint64 {
	dist := func(v uint64) uint64 { return max(v, near) - min(v, near) }
	window := uint64(1) << bits
	same := near/window*window + low
	best := same
	if up := same + window; dist(up) < dist(best) {
		best = up
	}
	if same >= window && dist(same-window) < dist(best) {
		best = same - window
	}
	return best
}

func TestDecodePN(t *testing.T) {
	for _, tt := range []struct {
		low           uint32
		largest, want uint64
	}{
		{0, 0, 0},
		{5, 0, 5},
		{0xffffff, 0, 0xffffff}, // nothing lies below 0
		{0, 0xffffff, 0x1000000},
		{0xffffff, 0x1000000, 0xffffff},
		{0x9b3288, 0xa8289b30ea, 0xa8289b3288}, // the shape of RFC 9000's example
	} {
		if got := DecodePN(tt.low, tt.largest); got != tt.want {
			t.Errorf("DecodePN(%#x, %#x) = %#x, want %#x", tt.low, tt.largest, got, tt.want)
		}
	}
}

func TestDecodeAgainstTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		near := rnd.Uint64() >> (8 + rnd.IntN(56)) // of all magnitudes, below 2^56
		low := rnd.Uint32()
		if low&pnMask == uint32(near+1+1<<23)&pnMask || low == uint32(near+1<<31) {
			continue // both candidates are equally close
		}
		if got, want := DecodePN(low&pnMask, near), closest(uint64(low&pnMask), near+1, pnBits); got != want {
			t.Fatalf("DecodePN(%#x, %#x) = %#x, want %#x", low&pnMask, near, got, want)
		}
		if got, want := DecodeOffset(low, near), closest(uint64(low), near, 32); got != want {
			t.Fatalf("DecodeOffset(%#x, %#x) = %#x, want %#x", low, near, got, want)
		}
	}
}

// TestDecodeWindow checks that what is sent within half a window of what the
// receiver expects comes back whole, at the edges of the window too.
func TestDecodeWindow(t *testing.T) {
	for _, near := range []uint64{1 << 33, 1<<40 - 1, 1<<40 + 12345} {
		for _, d := range []int64{-1<<31 + 1, -1, 0, 1, 1<<31 - 1} {
			off := near + uint64(d)
			if got := DecodeOffset(uint32(off), near); got != off {
				t.Errorf("offset %#x near %#x comes back as %#x", off, near, got)
			}
		}
		for _, d := range []int64{-1<<23 + 1, -1, 0, 1, 1 << 23} {
			pn := near + 1 + uint64(d)
			if got := DecodePN(uint32(pn)&pnMask, near); got != pn {
				t.Errorf("packet number %#x after %#x comes back as %#x", pn, near, got)
			}
		}
	}
}
