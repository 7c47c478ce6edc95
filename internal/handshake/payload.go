package handshake

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// payload is what a handshake message carries encrypted:
//
//	reset token 16 | longest datagram u16 | service u8 length + text
//	| chain u16 length + certificates | header u8 length + bytes
//	| ticket u8 length + bytes | port u16
//
// Header repeats the clear fields of the packet around it, which are not part
// of the transcript otherwise. The ticket may be missing or empty, and the port
// may be missing. What follows is for later versions.
type payload struct {
	resetToken  [16]byte
	maxDatagram uint16
	service     string // the instance's: what it serves; the dialler's: what it dials
	chain       []byte
	header      []byte
	ticket      []byte // the dialler's: of the VIA extension of the SYN-ACK

	// port is what the dialler asks for, 0 for none; the instance's is the one of
	// the SYN that it answers, and says that it knows what ports are.
	port uint16
}

func (p *payload) append(b []byte) []byte {
	b = append(b, p.resetToken[:]...)
	b = binary.BigEndian.AppendUint16(b, p.maxDatagram)
	b = append(b, byte(len(p.service)))
	b = append(b, p.service...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.chain)))
	b = append(b, p.chain...)
	b = append(b, byte(len(p.header)))
	b = append(b, p.header...)
	if len(p.ticket) > 0 || p.port != 0 {
		b = append(append(b, byte(len(p.ticket))), p.ticket...)
	}
	if p.port != 0 {
		b = binary.BigEndian.AppendUint16(b, p.port)
	}
	return b
}

// parsePayload returns slices of b. The text of a service is parsed by name.
func parsePayload(b []byte) (p payload, ok bool) {
	s := cryptobyte.String(b)
	var service, chain, header, ticket cryptobyte.String
	ok = s.CopyBytes(p.resetToken[:]) && s.ReadUint16(&p.maxDatagram) &&
		s.ReadUint8LengthPrefixed(&service) &&
		s.ReadUint16LengthPrefixed(&chain) && len(chain) <= identity.MaxChain &&
		s.ReadUint8LengthPrefixed(&header) &&
		(s.Empty() || s.ReadUint8LengthPrefixed(&ticket)) &&
		(s.Empty() || s.ReadUint16(&p.port))
	p.service, p.chain, p.header, p.ticket = string(service), chain, header, ticket
	return p, ok
}

// name returns the service that the payload states, in canonical form only.
func (p *payload) name() (sal.Name, bool) {
	n, err := sal.ParseName(p.service)
	return n, err == nil && n.Path() == p.service
}
