package rsyn

import (
	"time"

	"github.com/serval-net/serval/internal/flow"
)

const (
	minRTO     = 20 * time.Millisecond
	defaultRTO = 150 * time.Millisecond // while no round trip is known
	maxRTO     = time.Second
	hurriedRTO = 300 * time.Millisecond // in distress, instead of maxRTO
	hurryFor   = 2 * time.Minute        // and for how long

	maxAsked = 4               // addresses in question at a time
	maxTries = 6               // rounds in which an address is asked, unless the peer moved there
	ignored  = 1 * time.Second // how long a former or refused address raises no question
)

// Token is an unpredictable number: the nonce of an RSYN or a CHALLENGE.
type Token = [8]byte

// Machine is one end of a flow. A is an address: in production a
// netip.AddrPort, for the local socket as for the peer.
type Machine[A comparable] struct {
	// Our own address: we are the only ones who write it.
	local  A      // where the flow is, by our last move
	data   A      // where data leaves from: local, or the one before while a soft move is unconfirmed
	verno  uint64 // of our last move
	nonce  Token  // of our last RSYN
	moving bool   // it is unanswered
	sent   int    // how often it went out

	// The peer's, as far as we know.
	remote    A
	proven    bool   // remote has answered from there
	peerVerno uint64 // highest version seen
	settled   bool   // remote is where version peerVerno is
	asked     [maxAsked]question[A]

	ignore      A // raises no question until ignoreUntil
	ignoreUntil flow.Time

	rto      time.Duration // of the first round
	backoff  time.Duration // of the present round
	due      flow.Time     // end of the present round, or flow.Never
	movedAt  flow.Time
	distress bool

	bug bug // what the tests break; zero in production
}

// reason says why an address is asked whether the peer is there.
type reason uint8

const (
	none      reason = iota // the entry is free
	moved                   // RSYN or JOIN came from there
	rebound                 // the newest packet came from there, without an RSYN
	incumbent               // it is or was the remote when another was found rebound
)

// question is a CHALLENGE that waits for its RESPONSE.
type question[A comparable] struct {
	addr      A
	why       reason
	answered  bool  // rebound only: waits for the incumbent's round to end
	tries     uint8 // rounds that have ended, at most maxTries
	challenge Token
	budget    int // bytes that may be sent there; unused for an incumbent
}

// New returns an end that knows where its peer is.
func New[A comparable](local, remote A) Machine[A] {
	return Machine[A]{local: local, data: local, remote: remote, proven: true, settled: true,
		rto: defaultRTO, due: flow.Never}
}

// NewJoined returns the acceptor's end of a flow that a JOIN has added, and the
// CHALLENGE that goes with the JOINACK. No data is sent until it is answered.
// in.Size is that of the JOIN, less a third of what the JOINACK takes.
func NewJoined[A comparable](in In[A]) (Machine[A], Out[A]) {
	m := New(in.At, in.From)
	m.proven, m.settled = false, false
	var o Out[A]
	m.inquire(&o, in)
	m.finish(&o, in)
	return m, o
}

// SetRTT tells the smoothed round trip time; 0 if it is not known. Rounds begun
// from now on first wait one and a half times as long, at least 20 ms.
func (m *Machine[A]) SetRTT(srtt time.Duration) {
	m.rto = defaultRTO
	if srtt > 0 {
		m.rto = min(max(srtt*3/2, minRTO), maxRTO)
	}
}

// SetDistress says whether the connection has no working flow. For the first two
// minutes of a move, RSYNs are then at most 300 ms apart instead of a second.
func (m *Machine[A]) SetDistress(on bool) { m.distress = on }

// Local is the address of the last Move, confirmed or not.
func (m *Machine[A]) Local() A { return m.local }

// Remote is the address of the peer that data goes to, once it is proven.
func (m *Machine[A]) Remote() A { return m.remote }

// PeerVersion is the highest version that the peer announced, 0 before it moved.
func (m *Machine[A]) PeerVersion() uint64 { return m.peerVerno }

// Path is where data travels: from the former local address while a soft move is
// unconfirmed. ok is false while the remote has not proven itself: no data may
// be sent at all.
func (m *Machine[A]) Path() (from, to A, ok bool) {
	if q := &m.asked[0]; m.bug == bugEarlyData && q.why == moved {
		return m.data, q.addr, true
	}
	return m.data, m.remote, m.proven
}

// Unanswered is how often the RSYN of an unconfirmed move has gone out, each
// time to all addresses, and 0 if there is none.
func (m *Machine[A]) Unanswered() int {
	if !m.moving {
		return 0
	}
	return m.sent
}

// Asking reports whether an address of the peer is in question.
func (m *Machine[A]) Asking() bool {
	for i := range m.asked {
		if m.asked[i].why != none {
			return true
		}
	}
	return false
}

// Heard counts an authentic packet of size bytes, before its frames are handed
// in. Calls for packets from the remote may be left out.
func (m *Machine[A]) Heard(from A, size int) {
	if q := m.find(from); q != nil {
		q.budget += amplification * size
	}
}

func (m *Machine[A]) find(a A) *question[A] {
	for i := range m.asked {
		if q := &m.asked[i]; q.why != none && q.addr == a {
			return q
		}
	}
	return nil
}
