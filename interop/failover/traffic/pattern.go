//go:build linux

package traffic

import (
	"bytes"
	"encoding/binary"
)

// The two directions of a connection carry different content.
const (
	seedUp   = 0x5e27a1
	seedDown = 0xd0318
)

// fill writes the content that a stream has at position at into b. Content
// depends on the position alone, in every bit: bytes that are lost, doubled or
// swapped show at once, and where.
func fill(b []byte, seed uint64, at int64) {
	var word [8]byte
	for i := 0; i < len(b); {
		binary.LittleEndian.PutUint64(word[:], mix(seed<<40+uint64(at+int64(i))/8))
		i += copy(b[i:], word[(at+int64(i))%8:])
	}
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// differs returns the index of the first byte of b that is not the content at
// position at, or -1.
func differs(b, scratch []byte, seed uint64, at int64) int {
	want := scratch[:len(b)]
	fill(want, seed, at)
	if bytes.Equal(b, want) {
		return -1
	}
	for i := range b {
		if b[i] != want[i] {
			return i
		}
	}
	return -1
}
