package rsyn

import "github.com/serval-net/serval/internal/flow"

// Move makes local the address of the flow at our end, and announces it until
// that is answered, for ever: to give up is the caller's, who moves elsewhere or
// closes the flow. Moving to where the flow already is announces it afresh, which
// mends whatever the peer may have missed.
//
// A soft move leaves data on the path it has until the peer has answered; a hard
// one is for when that path is gone.
func (m *Machine[A]) Move(now flow.Time, local A, nonce Token, soft bool) Out[A] {
	m.verno++
	m.local, m.nonce = local, nonce
	m.moving, m.sent, m.movedAt = true, 0, now
	m.dropRebound()
	if !soft {
		m.data = local
	}
	m.restart(now)
	var o Out[A]
	m.flight(&o)
	m.finish(&o, In[A]{})
	return o
}

// RSYN takes in the peer's announcement that it is at in.From.
func (m *Machine[A]) RSYN(in In[A], verno uint64, nonce Token) Out[A] {
	var o Out[A]
	if verno == 0 || verno < m.peerVerno && m.bug != bugOldVerno {
		return o // late: a newer one has been here
	}
	if verno == m.peerVerno && m.bug == bugSilent {
		return o
	}
	news := verno != m.peerVerno
	if news {
		m.peerVerno = verno
		m.asked = [maxAsked]question[A]{}
		m.settled = m.proven && in.From == m.remote
	}
	o.to(in.At, in.From).answer(nonce)
	if !m.proven || in.From != m.remote {
		if m.bug == bugNoChallenge {
			m.adopt(&o, in.Now, in.From)
		} else {
			m.inquire(&o, in)
		}
	}
	if m.moving && m.bug == bugDropOwn {
		m.moving = false
	}
	// One who has moved too hears of it, but not each time: it answers alike, and
	// while neither believes the other they would never stop.
	if m.moving && news {
		o.to(m.local, in.From).announce(m.verno, m.nonce)
	}
	m.finish(&o, in)
	return o
}

// Challenge answers the peer, who asks whether we are at in.At. It is not
// answered if it comes from where the peer is not known to be: whoever copies
// our packets could else prove his address by having us answer. But the copy may
// have taken the place of the peer's own question. So whenever the peer may be
// elsewhere it gets a sign of life there, which is as good as an answer.
func (m *Machine[A]) Challenge(in In[A], challenge Token) Out[A] {
	var o Out[A]
	if in.At != m.local && in.At != m.data && m.bug != bugAnswerAll {
		return o
	}
	if m.peerAt(in) || m.bug == bugAnswerAll {
		o.to(in.At, in.From).answer(challenge)
	}
	if m.proven && in.From == m.remote {
		m.finish(&o, in)
		return o
	}
	if m.proven {
		o.to(m.data, m.remote).ask(in.Fresh[0]) // nobody waits for the answer
	}
	for i := range m.asked {
		if q := &m.asked[i]; q.why == moved && q.addr != in.From {
			o.to(m.data, q.addr).ask(q.challenge)
		}
	}
	m.finish(&o, in)
	return o
}

// Response takes in an answer, to our RSYN or to a CHALLENGE.
func (m *Machine[A]) Response(in In[A], token Token) Out[A] {
	var o Out[A]
	if m.moving && token == m.nonce && m.peerAt(in) {
		m.moving = false
		o.Event |= Confirmed
		if m.bug != bugOrder || m.settled {
			m.data = m.local
		}
	}
	for i := range m.asked {
		q := &m.asked[i]
		// What was sent to the remote and is answered from elsewhere has reached the
		// peer all the same, and a copy of the answer must not hide that.
		if q.why != none && q.challenge == token &&
			(q.addr == in.From || q.why == incumbent || m.bug == bugAnyPlace) {
			m.proved(&o, in.Now, q)
			break
		}
	}
	m.finish(&o, in)
	return o
}

// Newest says that the packet with the highest number so far came from in.From,
// and is called after its frames were handed in; calls for packets from a proven
// remote may be left out unless Asking.
//
// If the peer has announced no move, both addresses are asked, in rounds. The
// remote is given up for the new address if that has answered, and nothing newer
// has come from the remote when the round ends. It is asked for some rounds more,
// and taken back if it answers then.
func (m *Machine[A]) Newest(in In[A]) Out[A] {
	var o Out[A]
	if m.proven && in.From == m.remote {
		for i := range m.asked {
			if m.asked[i].why == rebound {
				m.refuse(&o, in.Now, in.From)
				break
			}
		}
		m.finish(&o, in)
		return o
	}
	if m.find(in.From) != nil {
		return o
	}
	if m.settled && !in.Known && in.From == m.ignore && in.Now < m.ignoreUntil {
		return o
	}
	m.inquire(&o, in)
	m.finish(&o, in)
	return o
}

// Deadline is when Timeout is to be called next, or flow.Never.
func (m *Machine[A]) Deadline() flow.Time { return m.due }

// Timeout ends a round, if it is time: what is unanswered is sent again.
func (m *Machine[A]) Timeout(now flow.Time) Out[A] {
	var o Out[A]
	if now < m.due {
		return o
	}
	for i := range m.asked {
		q := &m.asked[i]
		if q.why == none {
			continue
		}
		q.tries = min(q.tries+1, maxTries)
		if q.tries == maxTries && q.why != moved {
			*q = question[A]{}
		}
	}
	for i := range m.asked {
		if q := &m.asked[i]; q.answered {
			m.proved(&o, now, q) // and the incumbent was silent all round
		}
	}
	longest := maxRTO
	if m.distress && m.moving && now.Sub(m.movedAt) < hurryFor {
		longest = hurriedRTO
	}
	m.backoff = min(2*m.backoff, longest)
	m.due = now.Add(m.backoff)
	m.flight(&o)
	m.finish(&o, In[A]{})
	return o
}

// restart begins a round, because there is something new to send. What was sent
// before waits for its end too: an incumbent has all of it to answer.
func (m *Machine[A]) restart(now flow.Time) {
	m.backoff = m.rto
	m.due = now.Add(m.rto)
}

// flight sends all that is unanswered, from where the flow is now.
func (m *Machine[A]) flight(o *Out[A]) {
	if m.moving {
		o.to(m.local, m.remote).announce(m.verno, m.nonce)
	}
	for i := range m.asked {
		q := &m.asked[i]
		if q.why == none {
			continue
		}
		m.announce(o, q)
		o.to(m.data, q.addr).ask(q.challenge)
	}
	if m.moving {
		m.sent++
		if m.bug == bugOnce {
			m.moving, m.data = false, m.local
		}
		p := o.add()
		p.From, p.Everywhere = m.local, true
		p.announce(m.verno, m.nonce)
	}
}
