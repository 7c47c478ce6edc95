package sal

import "unicode/utf8"

// maxReason is the most bytes of a RESET frame's reason.
const maxReason = 255

// AppendReset appends a RESET frame. A reason of more than 255 bytes is cut at
// the last whole character before, and from the first byte that is not UTF-8.
func AppendReset(b []byte, code uint64, reason string) []byte {
	n := 0
	for n < len(reason) {
		c, size := utf8.DecodeRuneInString(reason[n:])
		if c == utf8.RuneError && size == 1 || n+size > maxReason {
			break
		}
		n += size
	}
	b = appendVarint(append(b, byte(FrameReset)), code)
	b = append(b, byte(n))
	return append(b, reason[:n]...)
}

func (f *Frame) parseReset(r *reader) {
	f.Code = r.varint()
	f.Reason = r.take(int(r.u8()))
	if !utf8.Valid(f.Reason) {
		r.fail(errReason)
	}
}
