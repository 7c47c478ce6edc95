package content

import (
	"slices"
	"testing"
)

func TestDiffersFindsTheFirstWrongByte(t *testing.T) {
	const size, at, up, down = 1001, 12345, 1, 2
	b, scratch := make([]byte, size), make([]byte, size)
	Fill(b[:313], up, at)
	Fill(b[313:], up, at+313)
	if i := Differs(b, scratch, up, at); i != -1 {
		t.Fatalf("right content differs at %d", i)
	}
	for _, i := range []int{0, 500, size - 1} {
		wrong := slices.Clone(b)
		wrong[i] ^= 1
		if got := Differs(wrong, scratch, up, at); got != i {
			t.Errorf("byte %d is wrong, found %d", i, got)
		}
	}
	if Differs(b, scratch, down, at) != 0 || Differs(b, scratch, up, at+8) != 0 {
		t.Error("another stream or position passed for the same")
	}
}
