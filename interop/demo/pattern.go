//go:build linux

package main

import (
	"fmt"
	"slices"

	"github.com/serval-net/serval/interop/internal/content"
)

// pattern is a stream of bytes of which each depends on its place, so that the
// receiver sees any that is lost, repeated or out of place.
type pattern struct {
	offset int64
	buf    []byte
}

const patternSeed = 1

// next returns the next n bytes, valid until the next call.
func (p *pattern) next(n int) []byte {
	b := p.room(n)
	content.Fill(b, patternSeed, p.offset)
	p.offset += int64(n)
	return b
}

// check compares received bytes with the next ones.
func (p *pattern) check(got []byte) error {
	at := p.offset
	p.offset += int64(len(got))
	if i := content.Differs(got, p.room(len(got)), patternSeed, at); i >= 0 {
		return fmt.Errorf("byte %d of the stream is wrong", at+int64(i))
	}
	return nil
}

// room returns n bytes to work with.
func (p *pattern) room(n int) []byte {
	p.buf = slices.Grow(p.buf[:0], n)[:n]
	return p.buf
}
