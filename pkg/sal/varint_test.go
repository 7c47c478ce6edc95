package sal

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestVarint has the examples of RFC 9000 appendix A.1 and the edges.
func TestVarint(t *testing.T) {
	for _, tt := range []struct {
		v   uint64
		hex string
	}{
		{151288809941952652, "c2197c5eff14e88c"},
		{494878333, "9d7f3e7d"},
		{15293, "7bbd"},
		{37, "25"},
		{0, "00"},
		{63, "3f"},
		{64, "4040"},
		{16383, "7fff"},
		{16384, "80004000"},
		{1<<30 - 1, "bfffffff"},
		{1 << 30, "c000000040000000"},
		{maxVarint, "ffffffffffffffff"},
	} {
		want, _ := hex.DecodeString(tt.hex)
		if b := appendVarint(nil, tt.v); !bytes.Equal(b, want) {
			t.Errorf("%d is %x, want %s", tt.v, b, tt.hex)
		}
		if v, n := consumeVarint(append(want, 0xff)); v != tt.v || n != len(want) {
			t.Errorf("%s is %d in %d bytes, want %d in %d", tt.hex, v, n, tt.v, len(want))
		}
		if _, n := consumeVarint(want[:len(want)-1]); n != 0 {
			t.Errorf("%s without its last byte parses", tt.hex)
		}
	}
	if b := appendVarint(nil, 1<<63); !bytes.Equal(b, appendVarint(nil, maxVarint)) {
		t.Errorf("a value too large is %x, want the largest", b)
	}
}
