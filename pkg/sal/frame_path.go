package sal

// AppendChallenge appends a CHALLENGE frame. The data must be unpredictable:
// its echo proves that the peer receives at the address the frame was sent to.
func AppendChallenge(b []byte, data [8]byte) []byte {
	return append(append(b, byte(FrameChallenge)), data[:]...)
}

// AppendResponse appends a RESPONSE frame that echoes a CHALLENGE's data.
func AppendResponse(b []byte, data [8]byte) []byte {
	return append(append(b, byte(FrameResponse)), data[:]...)
}
