// Package content is what streams carry whose receiver knows every byte.
package content

import (
	"bytes"
	"encoding/binary"
)

// Fill writes the content that a stream has at position at into b. Content depends
// on the seed and the position alone, in every bit: bytes that are lost, doubled or
// swapped show at once, and where.
func Fill(b []byte, seed uint64, at int64) {
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

// Differs returns the index of the first byte of b that is not the content at
// position at, or -1. Scratch must be as long as b at least; it is
// overwritten.
func Differs(b, scratch []byte, seed uint64, at int64) int {
	want := scratch[:len(b)]
	Fill(want, seed, at)
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
