package flow

// Kind says what a packet carried; bits combine.
type Kind uint8

const (
	Data   Kind = 1 << iota // stream bytes [Off, Off+N)
	FIN                     // the end of the stream, at Off+N
	Window                  // a WINDOW frame
	Probe                   // a path MTU probe
	Ping                    // nothing but a wish to be acknowledged
	Dgram                   // an unreliable datagram
	Every                   // an ACK_EVERY frame
	Paths                   // a PATHS frame; Off is its revision
)

// Record is one packet on its way: what its owner needs back when it is
// acknowledged or lost.
type Record struct {
	Off   uint64
	burst uint32
	N     uint16
	Size  uint16 // bytes on the wire above UDP
	Kind  Kind
	state state
	told  bool // the owner was told to repair it elsewhere
}

type state uint8

const (
	untracked state = iota // not ack-eliciting
	inFlight
	acked
	lost
)

// burst is what all packets sent by one call have in common: the snapshot that
// a delivery-rate sample needs (draft-cheng-iccrg-delivery-rate-estimation).
type burst struct {
	sent        Time
	delivered   uint64 // bytes delivered by then
	deliveredAt Time
	firstSent   Time
	lost        uint64 // bytes declared lost by then
	inflight    int    // including this burst's first packet
	appLimited  bool
}

// keepRecords is how many a flow may keep room for while nothing is in flight.
const keepRecords = 1 << 12

// sentLog remembers packets in two rings that grow with the window and are let
// go of when a large one has drained.
type sentLog struct {
	recs   []Record // by packet number
	base   uint64   // lowest number still in flight
	next   uint64
	bursts []burst // by burst number
	bnext  uint32
}

func (s *sentLog) rec(pn uint64) *Record { return &s.recs[pn&uint64(len(s.recs)-1)] }
func (s *sentLog) burst(r *Record) *burst {
	return &s.bursts[r.burst&uint32(len(s.bursts)-1)]
}

// newBurst opens a burst; packets added next belong to it.
func (s *sentLog) newBurst(b burst) {
	used := uint32(0)
	if s.base < s.next {
		used = s.bnext - s.rec(s.base).burst
	}
	if int(used)+1 >= len(s.bursts) {
		grown := make([]burst, max(4, 2*len(s.bursts)))
		for i := s.bnext - used; i != s.bnext; i++ {
			grown[i&uint32(len(grown)-1)] = s.bursts[i&uint32(len(s.bursts)-1)]
		}
		s.bursts = grown
	}
	s.bursts[s.bnext&uint32(len(s.bursts)-1)] = b
	s.bnext++
}

// add appends a record under the next packet number.
func (s *sentLog) add(r Record) {
	if s.base == s.next && r.state == untracked {
		s.next++
		s.base++
		return // nothing to remember
	}
	if n := s.next - s.base; int(n)+1 >= len(s.recs) {
		grown := make([]Record, max(8, 2*len(s.recs)))
		for pn := s.base; pn < s.next; pn++ {
			grown[pn&uint64(len(grown)-1)] = *s.rec(pn)
		}
		s.recs = grown
	}
	r.burst = s.bnext - 1
	*s.rec(s.next) = r
	s.next++
}

// advance moves base over everything that is settled.
func (s *sentLog) advance() {
	for s.base < s.next && s.rec(s.base).state != inFlight {
		s.base++
	}
	if s.base == s.next && len(s.recs) > keepRecords {
		s.recs, s.bursts = nil, nil
	}
}
