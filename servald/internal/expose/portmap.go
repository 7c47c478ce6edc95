package expose

import "slices"

// maxLearnt is how many ports are remembered that a server answered one client from.
const maxLearnt = 64

// portMap says which port of the server a client's datagram goes to, and which port
// of the service an answer comes from. Servers may answer from others than they were
// asked at, as tftp does (RFC 1350 section 4): those the client may write to as well.
type portMap struct {
	fixed   uint16 // of the server, whatever the client says; 0 for what it says
	allowed Ports  // where fixed is 0
	spoken  bool   // the client has ports

	said   uint16   // by the client last, for fixed
	learnt []uint16 // from which the server answered, oldest first
}

// out returns the server's port for a datagram to a port of the service, and whether
// it may go there.
func (m *portMap) out(said uint16) (port uint16, ok bool) {
	if slices.Contains(m.learnt, said) {
		return said, true
	}
	if m.fixed != 0 {
		m.said = said
		return m.fixed, true
	}
	return said, m.allowed.Allow(said)
}

// in returns the service's port for an answer from a port of the server.
func (m *portMap) in(port uint16) uint16 {
	switch {
	case !m.spoken:
		return 0
	case port == m.fixed:
		return m.said
	case m.fixed == 0 && m.allowed.Allow(port), slices.Contains(m.learnt, port):
		return port
	}
	if len(m.learnt) == maxLearnt {
		m.learnt = m.learnt[1:]
	}
	m.learnt = append(m.learnt, port)
	return port
}
