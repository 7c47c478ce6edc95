package rsyn

import "github.com/serval-net/serval/internal/flow"

// In is what comes with a packet that was authentic and not seen before.
type In[A comparable] struct {
	Now   flow.Time
	At    A        // our address that it arrived at
	From  A        // where it came from
	Known bool     // From is the peer's by the word of the peer's PATHS, the resolver or another flow
	Size  int      // of the datagram, in bytes
	Fresh [2]Token // random, never used before
}

// Packet is one to be sealed with the flow's keys and sent. Its frames are
// RSYN, CHALLENGE and RESPONSE, in this order, as far as they are there.
type Packet[A comparable] struct {
	From, To A
	// Everywhere: To is void, and the packet goes to all other addresses at which
	// the peer might be, each time under a new packet number: those of its PATHS,
	// its node's by the resolver, a rendezvous.
	Everywhere bool

	HasRSYN, HasChallenge, HasResponse bool

	Verno     uint64 // RSYN
	Nonce     Token
	Challenge Token
	Response  Token

	Size int // of the datagram in bytes, reached by padding
}

// Event is what has changed for the caller, as a set of bits.
type Event uint8

const (
	// Confirmed: the peer knows of our move. Data leaves from the new address.
	Confirmed Event = 1 << iota
	// RemoteMoved: data goes to another address. The path is a new one.
	RemoteMoved
	// Validated: the remote of a joined flow has proven itself, data may be sent.
	Validated
	// Refused: another address sent our peer's packets, and our peer is not there.
	Refused
)

// Out is what a step of the machine asks for.
type Out[A comparable] struct {
	Event   Event
	N       int // packets that are in use
	Packets [maxPackets]Packet[A]
}

// maxPackets is for a timeout amid a soft move: the remote, all in question, from
// the new address as well as from the former, and everywhere else.
const maxPackets = 2*maxAsked + 2

const (
	// amplification bounds the bytes sent to an address that is not proven, as a
	// multiple of those that came from it.
	amplification = 3

	sealedSize = 8 + 16 // header and tag
	rsynSize   = 1 + 8 + 4 + 1 + 8
	tokenSize  = 1 + 8

	// announced is the size of an RSYN to where the peer should be: it leaves the
	// peer room for several answers.
	announced = 192
)

// to returns the packet between two addresses, which is added if need be.
func (o *Out[A]) to(from, to A) *Packet[A] {
	for i := range o.Packets[:o.N] {
		if p := &o.Packets[i]; p.From == from && p.To == to && !p.Everywhere {
			return p
		}
	}
	p := o.add()
	p.From, p.To = from, to
	return p
}

func (o *Out[A]) add() *Packet[A] {
	o.N++
	return &o.Packets[o.N-1]
}

func (p *Packet[A]) ask(challenge Token)        { p.HasChallenge, p.Challenge = true, challenge }
func (p *Packet[A]) answer(token Token)         { p.HasResponse, p.Response = true, token }
func (p *Packet[A]) announce(v uint64, n Token) { p.HasRSYN, p.Verno, p.Nonce = true, v, n }

func (p *Packet[A]) size() int {
	n := sealedSize
	if p.HasRSYN {
		n += rsynSize
	}
	if p.HasChallenge {
		n += tokenSize
	}
	if p.HasResponse {
		n += tokenSize
	}
	return n
}

// finish sizes the packets, drops those that would exceed what may be sent to an
// unproven address, and sets the timer.
func (m *Machine[A]) finish(o *Out[A], in In[A]) {
	kept := 0
	for _, p := range o.Packets[:o.N] {
		p.Size = p.size()
		room := amplification * in.Size // an answer to one who is not even in question
		q := m.find(p.To)
		switch {
		case p.Everywhere, m.proven && p.To == m.remote:
			if p.HasRSYN {
				p.Size = announced
			}
			room = p.Size
		case q != nil && q.why == incumbent:
			room = p.Size
		case q != nil:
			room = q.budget
		}
		if p.Size > room {
			continue
		}
		if q != nil {
			q.budget -= p.Size
		}
		o.Packets[kept] = p
		kept++
	}
	clear(o.Packets[kept:])
	o.N = kept
	if !m.moving && !m.Asking() {
		m.due = flow.Never
	}
}
