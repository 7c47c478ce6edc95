package sal

import (
	"fmt"
	"iter"
)

// ExtType is the type of an extension of a long packet. A receiver ignores an
// even type it does not know and refuses a packet with an odd one.
type ExtType uint8

const (
	ExtPad    ExtType = 0  // filler of any content; may appear often
	ExtCookie ExtType = 2  // the cookie of a COOKIE packet, returned in a SYN
	ExtSource ExtType = 4  // the way a SYN came, see Source
	ExtTrace  ExtType = 6  // reserved
	ExtVia    ExtType = 8  // in a SYNACK: the SYN came through a service router, see Via
	ExtAvoid  ExtType = 10 // in a SYN: addresses that a router shall not choose, because they refused it
	ExtPort   ExtType = 12 // in a SYN: the port that the dialler asked for, see Extensions.Port
)

const (
	// MaxExtensions is the most extensions of one packet, PAD not counted.
	MaxExtensions = 16

	// MaxCookie is the most bytes of a cookie.
	MaxCookie = 64

	// MaxSources is the most entries of a SOURCE extension, and so the most
	// service routers on the way of a SYN.
	MaxSources = 8

	// MaxAvoid is the most addresses of an AVOID extension.
	MaxAvoid = 8
)

// Extensions are the encoded extensions of one packet: type, length of the
// value and value of each. Those in a parsed packet are checked and alias it.
// The zero value is none.
type Extensions []byte

// Add returns e with an extension appended, or e and an error that says which
// bound it would break.
func (e Extensions) Add(t ExtType, value []byte) (Extensions, error) {
	if len(value) > 255 {
		return e, fmt.Errorf("sal: extension %d has a value of %d bytes; shorten it to 255", t, len(value))
	}
	out := append(append(e, byte(t), byte(len(value))), value...)
	if err := out.check(); err != nil {
		return e, err
	}
	return out, nil
}

// Get returns the value of the extension of type t and whether there is one.
func (e Extensions) Get(t ExtType) ([]byte, bool) {
	for got, v := range e.All() {
		if got == t {
			return v, true
		}
	}
	return nil, false
}

// All iterates over the extensions, PAD left out, in their order.
func (e Extensions) All() iter.Seq2[ExtType, []byte] {
	return func(yield func(ExtType, []byte) bool) {
		for b := e; len(b) > 0; {
			t, v, rest, ok := nextExt(b)
			if !ok || t != ExtPad && !yield(t, v) {
				return
			}
			b = rest
		}
	}
}

// nextExt splits the first extension off b. Its length is bounded by what is
// there before anything inside it is read.
func nextExt(b []byte) (t ExtType, value, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	end := 2 + int(b[1])
	if end > len(b) {
		return 0, nil, nil, false
	}
	return ExtType(b[0]), b[2:end:end], b[end:], true
}

// check walks e once and returns nil if every extension is whole, within its
// bounds, and one this version may accept.
func (e Extensions) check() error {
	var seen [256 / 64]uint64
	for b, n := []byte(e), 0; len(b) > 0; {
		t, v, rest, ok := nextExt(b)
		if !ok {
			return errTruncated
		}
		b = rest
		if t == ExtPad {
			continue
		}
		if n++; n > MaxExtensions {
			return errExtCount
		}
		if bit := uint64(1) << (t % 64); seen[t/64]&bit == 0 {
			seen[t/64] |= bit
		} else {
			return errExtTwice
		}
		switch {
		case t == ExtCookie && (len(v) == 0 || len(v) > MaxCookie):
			return errCookieLen
		case t == ExtSource && (len(v)%sourceLen != 0 || len(v) > MaxSources*sourceLen):
			return errExtLen
		case t == ExtPort && len(v) != portLen || t == ExtVia && len(v) != viaLen || t == ExtAvoid && (len(v)%addrLen != 0 || len(v) > MaxAvoid*addrLen):
			return errExtLen
		case t&1 == 1: // no odd type is known to version 1
			return errCritical
		}
	}
	return nil
}

// extensions reads the extensions that fill the next n bytes.
func (r *reader) extensions(n int) Extensions {
	e := Extensions(r.take(n))
	if err := e.check(); err != nil {
		r.fail(err)
	}
	return e
}
