package flow

import (
	"fmt"
	"testing"
)

func TestReceived(t *testing.T) {
	for _, tc := range []struct {
		name string
		pns  []uint64
		want string
		gaps string // one letter a packet: g where add reports a gap
	}{
		{"in order", []uint64{1, 2, 3}, "[{1 3}]", "..."},
		{"a hole and its filling", []uint64{1, 3, 2}, "[{1 3}]", ".gg"},
		{"backwards", []uint64{9, 7, 8, 6}, "[{6 9}]", ".ggg"},
		{"two holes", []uint64{1, 3, 5, 6}, "[{1 1} {3 3} {5 6}]", ".gg."},
		{"join previous", []uint64{1, 5, 2}, "[{1 2} {5 5}]", ".gg"},
		{"join next", []uint64{1, 5, 4}, "[{1 1} {4 5}]", ".gg"},
	} {
		var r received
		gaps := ""
		for _, pn := range tc.pns {
			if r.has(pn) {
				t.Errorf("%s: has %d too early", tc.name, pn)
			}
			if r.add(pn) {
				gaps += "g"
			} else {
				gaps += "."
			}
			if !r.has(pn) {
				t.Errorf("%s: does not have %d", tc.name, pn)
			}
		}
		if got := fmt.Sprint(r.ranges); got != tc.want || gaps != tc.gaps {
			t.Errorf("%s: %s %s, want %s %s", tc.name, got, gaps, tc.want, tc.gaps)
		}
	}
}

// TestReceivedIsBounded leaves ever more gaps: memory stays bounded, and what
// was forgotten counts as received, so that nothing is ever accepted twice.
func TestReceivedIsBounded(t *testing.T) {
	var r received
	for pn := uint64(1); pn < 100000; pn += 2 {
		r.add(pn)
		if len(r.ranges) > maxRanges {
			t.Fatalf("%d ranges", len(r.ranges))
		}
	}
	for pn := uint64(1); pn < 100000; pn += 2 {
		if !r.has(pn) {
			t.Fatalf("%d would be accepted again", pn)
		}
	}
}

func FuzzReceived(f *testing.F) {
	f.Add([]byte{1, 2, 3, 5, 4, 9, 7, 8, 200, 100, 0})
	f.Add([]byte{255, 254, 253, 0, 1, 3, 2})
	f.Fuzz(func(t *testing.T, pns []byte) {
		var r received
		seen := map[uint64]bool{}
		for _, b := range pns {
			pn := uint64(b) + 1
			if r.has(pn) != seen[pn] {
				t.Fatalf("has(%d) = %v after %v", pn, r.has(pn), pns)
			}
			if !seen[pn] {
				r.add(pn)
				seen[pn] = true
			}
		}
		n := 0
		for i, x := range r.ranges {
			if x.First > x.Last || i > 0 && x.First <= r.ranges[i-1].Last+1 {
				t.Fatalf("ranges %v", r.ranges)
			}
			n += int(x.Last - x.First + 1)
		}
		if n != len(seen) {
			t.Fatalf("%d numbers in %v, want %d", n, r.ranges, len(seen))
		}
	})
}
