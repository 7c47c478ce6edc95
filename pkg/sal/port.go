package sal

import "encoding/binary"

const portLen = 2

// Port returns the value of the PORT extension: the port that a program asked
// for which knows nothing of services, 0 if there is none. What it means is the
// service's business, and most services ignore it. Routers pass it on. Nobody
// vouches for it here: the handshake repeats it, sealed.
func (e Extensions) Port() uint16 {
	v, ok := e.Get(ExtPort)
	if !ok || len(v) != portLen {
		return 0
	}
	return binary.BigEndian.Uint16(v)
}

// AppendPort appends the value of a PORT extension.
func AppendPort(b []byte, port uint16) []byte { return binary.BigEndian.AppendUint16(b, port) }
