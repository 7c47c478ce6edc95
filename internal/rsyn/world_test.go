package rsyn

import (
	"fmt"
	"strings"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// addr is an address in the explorer's world.
type addr uint8

const (
	nowhere addr = iota
	a1           // of end 0
	a2
	a3
	n1 // what a NAT makes of a1 after it has rebound
	b1 // of end 1
	b2
	b3
	mm // the attacker's
)

var addrNames = [...]string{"-", "a1", "a2", "a3", "n1", "b1", "b2", "b3", "m"}

func (a addr) String() string { return addrNames[a] }

const (
	maxInFlight = 10
	held        = 1 // packets for each end that the attacker has to relay, the last
)

// message is a packet under way. Packet numbers are kept as ranks, see
// world.normalise.
type message struct {
	from, to                           addr
	dir                                uint8 // the end it is for
	pn                                 uint8
	rsyn, chal, resp, data, token, ack bool
	verno, nonce, challenge, response  uint8
	askedAt                            addr // RESPONSE: where its CHALLENGE had been sent
	sentTo                             addr // where the end that sealed it sent it
}

// world is two ends, all packets under way, and what the checks remember. It is
// a comparable value.
type world struct {
	end     [2]Machine[addr]
	moves   [2]uint8
	sends   [2]uint8
	copies  uint8
	nat     bool
	dead    uint16 // addresses at which nothing arrives
	proved  [2]uint16
	got     [2]bool // the token of the other end has arrived here
	acked   [2]bool // ours has arrived there, as we know
	largest [2]uint8
	next    [2]uint8
	n       uint8
	msg     [maxInFlight]message

	broken string // what was violated, if anything
}

func newWorld(c *config) world {
	var w world
	w.end[0], w.end[1] = New(a1, b1), New(b1, a1)
	w.proved[0], w.proved[1] = 1<<b1, 1<<a1
	w.dead = 1<<a2 | 1<<a3 | 1<<b2 | 1<<b3 // not there yet
	for i := range w.end {
		w.end[i].rto, w.end[i].bug = 1, c.bug
		w.next[i] = 1
	}
	if c.join {
		// The dialler, end 0, has its JOINACK; the acceptor has an unproven address.
		in := In[addr]{At: b1, From: a1, Size: 1 << 20, Fresh: [2]Token{{1}, {2}}}
		var o Out[addr]
		w.end[1], o = NewJoined(in)
		w.end[1].rto, w.end[1].bug = 1, c.bug
		w.proved[1] = 0
		w.send(c, 1, &o, nowhere)
	}
	w.normalise()
	return w
}

// seen is how the network shows an address of an end.
func (w *world) seen(a addr) addr {
	if a == a1 && w.nat {
		return n1
	}
	return a
}

// peerOf is where end i's peer can truly be reached.
func (w *world) peerOf(i int) addr { return w.seen(w.end[1-i].local) }

// fresh returns two numbers that nobody holds, nor a packet k that just arrives.
func (w *world) fresh(k message) [2]Token {
	var used [256]bool
	used[k.nonce], used[k.challenge], used[k.response] = true, true, true
	for i := range w.end {
		m := &w.end[i]
		used[m.nonce[0]] = true
		for _, q := range m.asked {
			used[q.challenge[0]] = true
		}
	}
	for _, k := range w.msg[:w.n] {
		used[k.nonce], used[k.challenge], used[k.response] = true, true, true
	}
	var t [2]Token
	n := 0
	for v := 1; n < 2; v++ {
		if !used[v] {
			t[n][0] = uint8(v)
			n++
		}
	}
	return t
}

// put adds a message. What repeats one under way replaces it, and too many push
// the oldest out: both are losses.
func (w *world) put(c *config, k message) {
	if w.dead>>k.to&1 != 0 {
		return
	}
	count, oldest := 0, -1
	for i := 0; i < int(w.n); i++ {
		o := w.msg[i]
		if o.dir != k.dir || o.from == mm || (o.to == mm) != (k.to == mm) {
			continue
		}
		count++
		if oldest < 0 {
			oldest = i
		}
		o.pn = k.pn
		if o == k {
			w.drop(i)
			count = 0
			break
		}
	}
	limit := c.inFlight
	if k.to == mm {
		limit = held
	}
	if count >= limit {
		w.drop(oldest)
	}
	if w.n == maxInFlight {
		return
	}
	w.msg[w.n] = k
	w.n++
}

func (w *world) drop(i int) {
	copy(w.msg[i:], w.msg[i+1:w.n])
	w.n--
	w.msg[w.n] = message{}
}

// send puts what end i's machine wants sent under way. If it answers a
// CHALLENGE, askedAt is where that had been sent.
func (w *world) send(c *config, i int, o *Out[addr], askedAt addr) {
	direct := false
	for _, p := range o.Packets[:o.N] {
		if p.Everywhere {
			if !c.hints[i] || direct {
				continue
			}
			p.To = w.peerOf(i)
		} else if p.HasRSYN && p.To == w.peerOf(i) {
			direct = true
		}
		w.put(c, message{from: w.seen(p.From), to: p.To, sentTo: p.To, dir: uint8(1 - i), pn: w.next[i],
			rsyn: p.HasRSYN, chal: p.HasChallenge, resp: p.HasResponse,
			verno: uint8(p.Verno), nonce: p.Nonce[0], challenge: p.Challenge[0], response: p.Response[0], askedAt: askedAt})
		w.next[i]++
	}
}

// receive hands message k to the end it is for.
func (w *world) receive(c *config, k message) {
	d := int(k.dir)
	for i := int(w.n) - 1; i >= 0; i-- {
		if w.msg[i].dir == k.dir && w.msg[i].pn == k.pn {
			w.drop(i) // all other copies: replays
		}
	}
	largest := w.largest[d]
	w.largest[d] = max(largest, k.pn)
	m := &w.end[d]
	at := k.to
	if at == n1 {
		at = a1
	}
	in := In[addr]{At: at, From: k.from, Known: c.hints[d] && k.from == w.peerOf(d), Size: 1 << 20}
	before, right := *m, m.remote == w.peerOf(d)
	if k.rsyn {
		in.Fresh = w.fresh(k)
		o := m.RSYN(in, uint64(k.verno), Token{k.nonce})
		w.send(c, d, &o, nowhere)
	}
	if k.chal {
		in.Fresh = w.fresh(k)
		o := m.Challenge(in, Token{k.challenge})
		w.send(c, d, &o, k.sentTo)
	}
	if k.resp {
		if k.askedAt == k.from && k.from != mm {
			w.proved[d] |= 1 << k.from
		}
		o := m.Response(in, Token{k.response})
		w.send(c, d, &o, nowhere)
	}
	if k.data {
		if k.token {
			w.got[d] = true
		}
		if k.ack {
			w.acked[d] = true
		}
	}
	if k.pn > largest {
		in.Fresh = w.fresh(k)
		o := m.Newest(in)
		w.send(c, d, &o, nowhere)
	}
	if m.peerVerno < before.peerVerno {
		w.broken = "an old RSYN undid a newer one"
	}
	w.check(c, d, right)
}

// check looks at end d after a step.
func (w *world) check(c *config, d int, right bool) {
	m := &w.end[d]
	if _, to, ok := m.Path(); ok && w.proved[d]>>to&1 == 0 {
		w.broken = "data may go to " + to.String() + ", which has not proven itself"
	}
	if c.timely && right && m.remote != w.peerOf(d) {
		w.broken = "left the address at which the peer is"
	}
	if m.remote == mm && m.proven {
		w.broken = "hijack"
	}
}

// data sends a packet of data from end i, as an application or a keep-alive would.
func (w *world) data(c *config, i int) {
	from, to, ok := w.end[i].Path()
	if !ok {
		return
	}
	w.put(c, message{from: w.seen(from), to: to, sentTo: to, dir: uint8(1 - i), pn: w.next[i],
		data: true, token: !w.acked[i], ack: w.got[i]})
	w.next[i]++
}

func (w *world) move(c *config, i int, to addr, soft bool) {
	m := &w.end[i]
	from := m.local
	gone := m.data
	w.dead &^= 1 << to
	o := m.Move(0, to, w.fresh(message{})[0], soft)
	if !soft {
		for _, a := range []addr{from, gone} {
			if a != to {
				w.bury(w.seen(a))
			}
		}
	}
	w.moves[i]++
	w.send(c, i, &o, nowhere)
}

// bury makes an address vanish with all that is under way to it.
func (w *world) bury(a addr) {
	w.dead |= 1 << a
	for i := int(w.n) - 1; i >= 0; i-- {
		if w.msg[i].to == a {
			w.drop(i)
		}
	}
}

func (w *world) timeout(c *config, i int) {
	right := w.end[i].remote == w.peerOf(i)
	o := w.end[i].Timeout(w.end[i].due)
	w.send(c, i, &o, nowhere)
	w.check(c, i, right)
}

// giveUp ends the questions of end i that have been asked for a round or more:
// in the explorer maxTries is any number.
func (w *world) giveUp(i int) {
	m := &w.end[i]
	for j := range m.asked {
		if q := &m.asked[j]; q.tries > 0 && q.why != moved {
			m.asked[j] = question[addr]{}
		}
	}
	if !m.moving && !m.Asking() {
		m.due = flow.Never
	}
}

// normalise maps worlds that differ in nothing that matters to the same value:
// time is always 0, numbers are the least ones.
func (w *world) normalise() {
	for i := range w.end {
		w.end[i].normalise()
	}
	for i := 1; i < int(w.n); i++ { // by direction, number and copy
		for j := i; j > 0 && w.msg[j].less(&w.msg[j-1]); j-- {
			w.msg[j], w.msg[j-1] = w.msg[j-1], w.msg[j]
		}
	}
	var tokens [256]uint8
	last := uint8(0)
	name := func(t *uint8) {
		if *t == 0 {
			return
		}
		if tokens[*t] == 0 {
			last++
			tokens[*t] = last
		}
		*t = tokens[*t]
	}
	for i := range w.end {
		name(&w.end[i].nonce[0])
		for j := range w.end[i].asked {
			name(&w.end[i].asked[j].challenge[0])
		}
	}
	for d := range w.end {
		rank, prev, placed := uint8(0), uint8(0), w.largest[d] == 0
		for i := range w.msg[:w.n] {
			k := &w.msg[i]
			if int(k.dir) != d {
				continue
			}
			if !placed && k.pn > w.largest[d] {
				rank++
				w.largest[d], placed = rank, true
			}
			if k.pn != prev {
				rank++
			}
			prev, k.pn = k.pn, rank
		}
		if !placed {
			rank++
			w.largest[d] = rank
		}
		w.next[1-d] = rank + 1
	}
	for i := range w.msg[:w.n] {
		k := &w.msg[i]
		name(&k.nonce)
		name(&k.challenge)
		name(&k.response)
	}
}

func (k *message) less(o *message) bool {
	if k.dir != o.dir {
		return k.dir < o.dir
	}
	if k.pn != o.pn {
		return k.pn < o.pn
	}
	if k.from != o.from {
		return k.from < o.from
	}
	return k.to < o.to
}

func (m *Machine[A]) normalise() {
	m.sent, m.movedAt, m.backoff = 0, 0, time.Duration(1)
	if m.due != flow.Never {
		m.due = 1
	}
	if m.ignoreUntil > 0 {
		m.ignoreUntil = 1
	} else {
		var zero A
		m.ignore = zero
	}
	if !m.moving {
		m.nonce = Token{}
	}
	for i := range m.asked {
		if q := &m.asked[i]; q.why != none {
			q.budget = 1 << 20
			q.tries = min(q.tries, 1)
		}
	}
}

func (k message) String() string {
	s := fmt.Sprintf("%v>%v", k.from, k.to)
	for _, f := range []struct {
		on   bool
		name string
	}{
		{k.rsyn, fmt.Sprintf("RSYN %d", k.verno)}, {k.chal, "CHALLENGE"}, {k.resp, "RESPONSE"},
		{k.data, "data"},
	} {
		if f.on {
			s += " " + f.name
		}
	}
	return s
}

func (w *world) String() string {
	var s []string
	for i := range w.end {
		m := &w.end[i]
		t := fmt.Sprintf("%c at %v to %v", 'A'+i, m.local, m.remote)
		if m.data != m.local {
			t += fmt.Sprintf(" (data from %v)", m.data)
		}
		if m.moving {
			t += " moving"
		}
		for _, q := range m.asked {
			if q.why != none {
				t += fmt.Sprintf(" %s %v?", [...]string{"", "moved", "rebound", "incumbent"}[q.why], q.addr)
			}
		}
		s = append(s, t)
	}
	return strings.Join(s, "; ")
}
