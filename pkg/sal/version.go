package sal

import "bytes"

// RefuseVersion answers a SYN of a version this package does not speak: a
// REFUSE in the SYN's own version, so that its sender can tell its user which
// node to update. It returns nil for anything else. For this to work, the
// layout of SYN up to the handshake message, of REFUSE, and their type numbers
// are the same in all versions.
func RefuseVersion(pkt []byte) []byte {
	if len(pkt) < MinSYN || pkt[0]>>6 == Version || pkt[0]>>6 == 0 || Type(pkt[0]>>2&15) != TypeSYN {
		return nil
	}
	ours := bytes.Clone(pkt)
	ours[0] = firstByte(TypeSYN)
	syn, err := ParseSYN(ours)
	if err != nil && syn.Flow == 0 {
		return nil
	}
	r := Refuse{Flow: syn.Flow, Code: VersionMismatch, Echo: syn.Echo()}
	b := r.Append(nil)
	b[0] = pkt[0]&0xc0 | b[0]&0x3f
	return b
}
