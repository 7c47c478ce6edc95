package sal

const (
	pnBits = 24
	pnMask = 1<<pnBits - 1
)

// DecodePN returns the packet number whose low 24 bits are low and which is
// closest to the one expected after largest, the largest packet number opened
// so far on the flow (0 if none). RFC 9000 appendix A.3.
func DecodePN(low uint32, largest uint64) uint64 {
	const window, half = 1 << pnBits, 1 << (pnBits - 1)
	expected := largest + 1
	pn := expected&^pnMask | uint64(low)&pnMask
	switch {
	case pn+half <= expected && pn < maxVarint+1-window:
		return pn + window
	case pn > expected+half && pn >= window:
		return pn - window
	}
	return pn
}

// DecodeOffset returns the stream offset whose low 32 bits are low and which is
// closest to near, such as the next offset expected. It is right as long as
// offsets in flight lie within 2 GiB of near.
func DecodeOffset(low uint32, near uint64) uint64 {
	d := int64(int32(low - uint32(near)))
	if d < 0 && near < uint64(-d) {
		d += 1 << 32 // an offset is not negative
	}
	return near + uint64(d)
}
