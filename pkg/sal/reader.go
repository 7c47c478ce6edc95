package sal

import "encoding/binary"

// reader consumes a packet from the front. The first failure sticks, and what
// is read after it is zero, so a parser checks err once, at its end.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// take returns the next n bytes, or nil if there are fewer.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail(errTruncated)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// varint reads a QUIC variable-length integer.
func (r *reader) varint() uint64 {
	v, n := consumeVarint(r.b)
	if n == 0 {
		r.fail(errTruncated)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// rest returns what is left.
func (r *reader) rest() []byte { return r.take(len(r.b)) }

// end returns the error of the whole parse of a packet that must end here.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return errTrailing
	}
	return r.err
}

// long starts to parse a long packet of type t and returns its flags.
func long(b []byte, t Type) (r reader, flags uint8) {
	got, err := PeekType(b)
	if err == nil && got != t {
		err = errNotType
	}
	if err != nil {
		return reader{err: err}, 0
	}
	r.b = b[1:]
	return r, r.u8()
}
