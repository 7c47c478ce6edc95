package flowset

import (
	"fmt"
	"testing"
)

func TestRangeSet(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *rangeSet)
		want string
	}{
		{"apart", func(r *rangeSet) { r.add(10, 20); r.add(30, 40); r.add(0, 5) }, "[{0 5} {10 20} {30 40}]"},
		{"touching", func(r *rangeSet) { r.add(10, 20); r.add(20, 30); r.add(5, 10) }, "[{5 30}]"},
		{"bridging", func(r *rangeSet) { r.add(0, 5); r.add(10, 15); r.add(20, 25); r.add(4, 21) }, "[{0 25}]"},
		{"empty", func(r *rangeSet) { r.add(7, 7); r.remove(1, 9) }, "[]"},
		{"middle out", func(r *rangeSet) { r.add(0, 10); r.remove(3, 7) }, "[{0 3} {7 10}]"},
		{"ends out", func(r *rangeSet) { r.add(0, 10); r.remove(0, 2); r.remove(8, 12) }, "[{2 8}]"},
		{"across", func(r *rangeSet) { r.add(0, 5); r.add(10, 15); r.add(20, 25); r.remove(3, 22) }, "[{0 3} {22 25}]"},
	} {
		var r rangeSet
		tc.do(&r)
		if got := fmt.Sprint(r.s); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func FuzzRangeSet(f *testing.F) {
	f.Add([]byte{0, 10, 20, 1, 12, 15, 0, 14, 30, 1, 0, 255})
	f.Add([]byte{0, 0, 255, 1, 1, 2, 1, 4, 6, 0, 1, 5})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var r rangeSet
		var oracle [256]bool
		for ; len(ops) >= 3; ops = ops[3:] {
			add := ops[0]%2 == 0
			from, to := ops[1], ops[2]
			if add {
				r.add(uint64(from), uint64(to))
			} else {
				r.remove(uint64(from), uint64(to))
			}
			for i := int(from); i < int(to); i++ {
				oracle[i] = add
			}
		}
		var got [256]bool
		for i, s := range r.s {
			if s.from >= s.to || i > 0 && s.from <= r.s[i-1].to {
				t.Fatalf("not ordered and apart: %v", r.s)
			}
			for k := s.from; k < s.to; k++ {
				got[k] = true
			}
		}
		if got != oracle {
			t.Fatalf("%v is not what was put in", r.s)
		}
	})
}
