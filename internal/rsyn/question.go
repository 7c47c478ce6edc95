package rsyn

import "github.com/serval-net/serval/internal/flow"

// peerAt reports whether we know the peer to be where a packet came from. What
// an RSYN, a JOIN or the newest packet says is not enough: a copy says the same.
func (m *Machine[A]) peerAt(in In[A]) bool {
	if in.Known || m.proven && in.From == m.remote {
		return true
	}
	q := m.find(in.From)
	return q != nil && (m.bug == bugTrustMoved && q.why == moved || m.bug == bugTrustRebound && q.why == rebound)
}

// inquire asks in.From whether the peer is there, and the remote too if the peer
// has not said that it moved. CHALLENGEs leave from where data does, so that
// they try the path that is going to be used.
func (m *Machine[A]) inquire(o *Out[A], in In[A]) {
	q := m.find(in.From)
	raised := q == nil
	if raised {
		if q = m.raise(in); q == nil {
			return
		}
		m.restart(in.Now)
		m.announce(o, q)
	}
	o.to(m.data, q.addr).ask(q.challenge)
	if q.why == rebound {
		if r := m.find(m.remote); r != nil {
			if raised {
				m.announce(o, r)
			}
			o.to(m.data, r.addr).ask(r.challenge)
		}
	}
}

// announce sends our RSYN, if it is unanswered, to an address in question: the
// peer may have left where it went before.
func (m *Machine[A]) announce(o *Out[A], q *question[A]) {
	if m.moving {
		o.to(m.local, q.addr).announce(m.verno, m.nonce)
	}
}

// raise makes in.From a question, or returns nil if there are too many.
func (m *Machine[A]) raise(in In[A]) *question[A] {
	q := m.vacancy()
	if q == nil {
		return nil
	}
	*q = question[A]{addr: in.From, why: moved, challenge: in.Fresh[0]}
	q.budget = amplification*in.Size - sealedSize - tokenSize // a RESPONSE may have gone already
	if !m.settled {
		return q // wherever the peer is, it has said that it moved
	}
	q.why = rebound
	if m.find(m.remote) == nil && m.bug != bugNoIncumbent {
		r := m.vacancy()
		if r == nil {
			*q = question[A]{}
			return nil
		}
		*r = question[A]{addr: m.remote, why: incumbent, challenge: in.Fresh[1]}
	}
	return q
}

// vacancy returns a free entry, or that which has been asked most often, if that
// was more than once: copies of packets must not keep the peer itself out.
func (m *Machine[A]) vacancy() *question[A] {
	oldest := &m.asked[0]
	for i := range m.asked {
		q := &m.asked[i]
		if q.why == none {
			return q
		}
		if q.tries > oldest.tries {
			oldest = q
		}
	}
	if oldest.tries < 2 || oldest.why == incumbent {
		return nil
	}
	*oldest = question[A]{}
	return oldest
}

// proved draws the conclusion from an answer to q that came from q's address.
func (m *Machine[A]) proved(o *Out[A], now flow.Time, q *question[A]) {
	switch q.why {
	case moved:
		m.adopt(o, now, q.addr)
	case incumbent:
		m.refuse(o, now, q.addr)
	case rebound:
		q.answered = true
		if q.tries == 0 && m.bug != bugNoIncumbent {
			return // the incumbent has the rest of the round
		}
		m.remote = q.addr
		for i := range m.asked {
			if m.asked[i].why == rebound {
				m.asked[i] = question[A]{}
			}
		}
		o.Event |= RemoteMoved
	}
}

// adopt takes the peer to be where it said it moved.
func (m *Machine[A]) adopt(o *Out[A], now flow.Time, a A) {
	m.ignore, m.ignoreUntil = m.remote, now.Add(ignored) // late packets, or a soft move's
	if a != m.remote {
		o.Event |= RemoteMoved
	}
	if !m.proven {
		o.Event |= Validated
	}
	m.remote, m.proven, m.settled = a, true, true
	m.asked = [maxAsked]question[A]{}
}

// refuse keeps the remote, or takes it back, because it has answered: whoever
// sent from elsewhere did so with a copy.
func (m *Machine[A]) refuse(o *Out[A], now flow.Time, a A) {
	if a != m.remote {
		o.Event |= RemoteMoved
		m.ignore, m.ignoreUntil = m.remote, now.Add(ignored)
		m.remote = a
	}
	for i := range m.asked {
		if q := &m.asked[i]; q.why == rebound {
			m.ignore, m.ignoreUntil = q.addr, now.Add(ignored)
		}
	}
	o.Event |= Refused
	m.asked = [maxAsked]question[A]{}
}

// dropRebound forgets the questions that no RSYN has raised: once we have left,
// an answer can come only from who copies our RSYN.
func (m *Machine[A]) dropRebound() {
	for i := range m.asked {
		if q := &m.asked[i]; q.why != moved {
			*q = question[A]{}
		}
	}
}
