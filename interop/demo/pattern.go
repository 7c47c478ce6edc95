//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
)

// pattern is a stream of bytes of which each depends on its place, so that the
// receiver sees any that is lost, repeated or out of place.
type pattern struct {
	offset uint64
	buf    []byte
}

const patternWord = 8

// next returns the next n bytes, valid until the next call.
func (p *pattern) next(n int) []byte {
	skip := int(p.offset % patternWord)
	word := p.offset / patternWord
	p.buf = p.buf[:0]
	for len(p.buf) < skip+n {
		// A round of splitmix64.
		z := (word + 1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		p.buf = binary.LittleEndian.AppendUint64(p.buf, z^z>>27)
		word++
	}
	p.offset += uint64(n)
	return p.buf[skip : skip+n]
}

// check compares received bytes with the next ones.
func (p *pattern) check(got []byte) error {
	at := p.offset
	want := p.next(len(got))
	if string(got) == string(want) {
		return nil
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d of the stream is wrong", at+uint64(i))
		}
	}
	return nil
}
