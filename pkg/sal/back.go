package sal

import "net/netip"

// Back is the body of a DATAGRAM that carries an instance's answer to a forwarded
// SYN back the way the SYN came, for diallers that nobody but the router can
// reach. Each router takes off the last entry of Way, which it made, and sends the
// rest to the address in it; without entries, it has arrived.
type Back struct {
	Origin netip.AddrPort // where the instance can be reached
	Way    []byte         // entries of SOURCE, the dialler first
	Packet []byte         // the answer: a SYNACK, COOKIE or REFUSE
}

// MaxBack is the most bytes that a DATAGRAM with a Back has besides the answer.
const MaxBack = 2 + 4 + len(ServiceID{}) + 1 + addrLen + MaxSources*sourceLen

// Append appends the body.
func (p *Back) Append(b []byte) []byte {
	b = append(b, byte(len(p.Way)/sourceLen))
	b = appendAddr(b, p.Origin)
	return append(append(b, p.Way...), p.Packet...)
}

// ParseBack parses the body; it does not look into the answer.
func ParseBack(b []byte) (Back, error) {
	r := reader{b: b}
	n := int(r.u8())
	origin := r.take(addrLen)
	p := Back{Way: r.take(n * sourceLen)}
	p.Packet = r.rest()
	if r.err == nil && n > MaxSources {
		r.fail(errExtLen)
	}
	if r.err != nil {
		return Back{}, r.err
	}
	p.Origin = getAddr(origin)
	return p, nil
}

// Last splits the last entry off Way; false if there is none.
func (p *Back) Last() (s Source, rest Back, ok bool) {
	n := len(p.Way) - sourceLen
	if n < 0 {
		return Source{}, Back{}, false
	}
	s = Source{Addr: getAddr(p.Way[n:]), Tag: [8]byte(p.Way[n+addrLen:])}
	return s, Back{p.Origin, p.Way[:n:n], p.Packet}, true
}
