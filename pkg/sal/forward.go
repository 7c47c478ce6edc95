package sal

// synHead is a SYN up to its handshake message.
const synHead = 4 + 4 + 4 + len(ServiceID{})

// ForwardSYN makes of pkt, a SYN that ParseSYN accepted, what a service router
// sends on: the hop limit is one less, and SOURCE has one entry more. Where the
// packet has padding to spare that happens in place, and its length stays. Else the
// result is appended to room. It is false if the hop limit or SOURCE is used up.
func ForwardSYN(pkt []byte, s Source, room []byte) ([]byte, bool) {
	head := synHead + int(pkt[3])
	e := pkt[head:]
	source, pad, n := -1, -1, 0
	for i := 0; i < len(e); i += 2 + int(e[i+1]) {
		switch ExtType(e[i]) {
		case ExtSource:
			source = i
			n++
		case ExtPad:
			if pad < 0 && int(e[i+1]) >= 2+sourceLen {
				pad = i
			}
		default:
			n++
		}
	}
	switch {
	case pkt[2] == 0 || source < 0 && n == MaxExtensions || source >= 0 && e[source+1] == MaxSources*sourceLen:
		return nil, false
	case source < 0 && pad < 0:
		return appendForwarded(room, pkt[:head], e, s), true
	case source < 0: // the front of the padding becomes SOURCE
		rest := e[pad+1] - 2 - sourceLen
		e[pad], e[pad+1] = byte(ExtSource), sourceLen
		AppendSource(e[:pad+2], s) // in place: there is room
		e[pad+2+sourceLen], e[pad+3+sourceLen] = byte(ExtPad), rest
	default: // SOURCE grows into the padding behind it
		end := source + 2 + int(e[source+1])
		if end >= len(e) || ExtType(e[end]) != ExtPad || e[end+1] < sourceLen {
			return appendForwarded(room, pkt[:head], e, s), true
		}
		rest := e[end+1] - sourceLen
		e[source+1] += sourceLen
		AppendSource(e[:end], s) // in place
		e[end+sourceLen], e[end+sourceLen+1] = byte(ExtPad), rest
	}
	pkt[2]--
	return pkt, true
}

// appendForwarded is ForwardSYN where there is no room in place.
func appendForwarded(b, head, e []byte, s Source) []byte {
	start := len(b)
	b = append(b, head...)
	b[start+2]--
	var old []byte
	for len(e) > 0 {
		t, v, rest, _ := nextExt(e)
		switch t {
		case ExtSource:
			old = v
		case ExtPad:
		default:
			b = append(b, e[:len(e)-len(rest)]...)
		}
		e = rest
	}
	b = append(b, byte(ExtSource), byte(len(old)+sourceLen))
	b = AppendSource(append(b, old...), s)
	return appendPadExt(b, MinSYN-(len(b)-start))
}

// QuotedSYN reads the start of a SYN, as a report on it quotes: the fields up to the
// handshake message, and the value of SOURCE, nil if that is cut off or not there.
func QuotedSYN(b []byte) (p SYN, source []byte) {
	r, _ := long(b, TypeSYN)
	r.u8()
	n := int(r.u8())
	p.Flow = FlowID(r.u32())
	p.Window = r.u32()
	copy(p.Service[:], r.take(len(p.Service)))
	p.Noise = r.take(n)
	for e := r.b; r.err == nil; {
		t, v, rest, ok := nextExt(e)
		if !ok {
			break
		}
		if t == ExtSource {
			return p, v
		}
		e = rest
	}
	return p, nil
}
