package flow

import "time"

// elsewhere are the kinds that any flow can carry.
const elsewhere = Data | FIN | Window | Paths

// Moved starts afresh on another path: round trip, pacing, model and MTU are
// those of a new flow, packet numbers go on. rtt is a sample of the new path,
// 0 if there is none; linkMTU and route are as in Config. What was in flight
// is handed to o as lost; acknowledgements of it tell nothing any more.
func (f *Flow) Moved(now Time, rtt time.Duration, linkMTU int, route *Route, o Owner) {
	f.Abandon(o)
	f.begin(now, rtt, linkMTU, route, f.model.rng)
}

// Reinject hands o everything in flight as lost, for repair elsewhere, and
// keeps it in flight: should it be acknowledged after all, o learns that too.
func (f *Flow) Reinject(o Owner) {
	for pn := f.log.base; pn < f.log.next; pn++ {
		if r := f.log.rec(pn); r.state == inFlight {
			f.tell(r, o)
		}
	}
}

// Overtake hands o what a copy of it that takes d from now on would overtake:
// what is still expected to be under way for longer than that, and what should
// have been acknowledged by now. Only stream bytes before the offset to count.
func (f *Flow) Overtake(now Time, d time.Duration, to uint64, o Owner) {
	rtt := f.rtt.srtt()
	arrives, overdue := now.Add(d-rtt/2), now.Add(-rtt-d)
	room := f.inflight // of which so much arrives in time
	if f.slow.rate > 0 {
		room = int((d + f.model.minRTT/2).Seconds() * f.slow.rate)
		overdue = 0 // it waits its turn
	}
	for pn := f.log.base; pn < f.log.next; pn++ {
		r := f.log.rec(pn)
		if r.state != inFlight {
			continue
		}
		room -= int(r.Size)
		if r.told || r.Kind&(Data|FIN) == 0 || r.Off >= to {
			continue
		}
		if sent := f.log.burst(r).sent; sent > arrives || sent < overdue || room < 0 {
			f.tell(r, o)
		}
	}
}

// Abandon hands o everything in flight as lost and expects no more of it.
func (f *Flow) Abandon(o Owner) {
	for pn := f.log.base; pn < f.log.next; pn++ {
		if r := f.log.rec(pn); r.state == inFlight {
			f.tell(r, o)
			r.state = lost
		}
	}
	f.inflight, f.loss.at, f.loss.probes = 0, 0, 0
	f.log.advance()
}

func (f *Flow) tell(r *Record, o Owner) {
	if r.told {
		return
	}
	r.told = true
	if c := *r; c.Kind&elsewhere != 0 {
		c.Kind &= elsewhere
		o.PacketLost(f, c)
	}
}
