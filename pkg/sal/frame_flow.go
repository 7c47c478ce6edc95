package sal

// AppendPing appends a PING frame.
func AppendPing(b []byte) []byte { return append(b, byte(FramePing)) }

// AppendPad appends n PAD frames, one byte each.
func AppendPad(b []byte, n int) []byte {
	for ; n > 0; n-- {
		b = append(b, byte(FramePad))
	}
	return b
}

// AppendWindow appends a WINDOW frame: the peer may send the stream up to, not
// including, byte max.
func AppendWindow(b []byte, max uint64) []byte {
	return appendVarint(append(b, byte(FrameWindow)), max)
}

// AppendBlocked appends a BLOCKED frame: there is more to send, but the limit
// at byte off does not allow it.
func AppendBlocked(b []byte, off uint64) []byte {
	return appendVarint(append(b, byte(FrameBlocked)), off)
}
