package serval

import (
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/mesh"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	// bulkJoin is how many bytes a connection has carried before it is worth
	// further flows; one with a policy that needs them has them from the start.
	bulkJoin = 64 << 10
	// lostAfter is how many moves go unanswered before the peer is looked for
	// elsewhere.
	lostAfter = 2
	// askAgain is the least time between moves of a flow that gets no answer.
	askAgain = 500 * time.Millisecond
	// reannounce is how long a pair has been silent when a flow that has nowhere
	// else to go says again where it is.
	reannounce = 5 * time.Second
)

// reconsider brings the connection's flows in line with the addresses there are
// and the policy: flows whose address went away move, interfaces without a flow
// get one, and the peer learns what changed. The caller holds mu.
func (l *link) reconsider(now flow.Time) {
	l.think = false
	if l.gone || l.set.Err() != nil {
		return
	}
	l.checkAddresses(now)
	l.setCosts()
	remotes := l.remotes()
	l.takeRefuge(now, remotes)
	l.addFlows(now, remotes)
	l.advertise()
}

// checkAddresses parks flows whose address is gone and brings back those whose
// address has returned.
func (l *link) checkAddresses(now flow.Time) {
	for i := range l.paths {
		p := &l.paths[i]
		at := l.node.sockets.at(p.at.Local())
		up := at != nil && at.up && !at.excluded
		parked := l.set.State(uint8(i)) == flowset.Parked
		switch {
		case !up && !parked:
			l.set.SetState(now, uint8(i), flowset.Parked)
		case up && parked && p.at.Unanswered() == 0:
			l.move(now, i, at, false)
		}
	}
}

// takeRefuge finds addresses for flows that have none.
func (l *link) takeRefuge(now flow.Time, remotes []netip.AddrPort) {
	live := l.livePairs()
	locals := l.locals()
	working := l.working()
	for i := range l.paths {
		p := &l.paths[i]
		at := l.node.sockets.at(p.at.Local())
		lost := at == nil || !at.usable()
		state := l.set.State(uint8(i))
		switch {
		case working && state == flowset.Parked && lost:
			// Others carry on: worth a move only to an interface without a flow.
			want := mesh.Want(locals, remotes, live, len(live)+1, l.isBad)
			if len(want) > 0 && !slices.ContainsFunc(live, func(p mesh.Pair) bool { return p.Local == want[0].Local }) {
				l.move(now, i, l.node.sockets.at(want[0].Local), false)
				live = append(live, want[0])
			}
		case !working && (lost || state == flowset.Suspect || state == flowset.Down || p.at.Unanswered() > 2):
			moving := p.at.Unanswered() > 0 // and repeats itself
			if !lost && !moving && !p.shared.silent(now) {
				// Others hear the peer there: it is the hosts that are slow. Moves
				// of thousands of connections would not help them.
				l.again = p.shared.silentAt()
				return
			}
			if now < p.nextAsk && !lost {
				l.again = p.nextAsk
				return // give what is under way a chance
			}
			// From another address if there is one, else from the same: the peer
			// may not know of it any more, as when a NAT changed its mind.
			refuges := mesh.Refuge(locals, remotes, nil)
			for k := range refuges {
				to := l.node.sockets.at(refuges[(k+p.asks)%len(refuges)].Addr)
				if to != nil && (to.addr != p.at.Local() || len(refuges) == 1 && !moving && p.shared.quiet(now) > reannounce) {
					p.nextAsk = now.Add(max(askAgain, 3*p.flow.RTT()) << min(p.asks, 4))
					l.again = p.nextAsk
					l.move(now, i, to, !lost && state != flowset.Parked)
					return // one flow is enough to go on with
				}
			}
		}
	}
}

// addFlows joins further flows, the dialler's part: the acceptor only tells
// where it can be reached.
func (l *link) addFlows(now flow.Time, remotes []netip.AddrPort) {
	if !l.dialled || !l.wantsFlows || len(l.paths) >= l.node.cfg.MaxFlows || l.join != nil && l.join.next != flow.Never {
		return
	}
	if len(l.node.cfg.Listen) == 0 && l.node.sockets.own(l.paths[0].remote.Addr()) {
		return // the same host: one interface is as good as another
	}
	if len(l.peerAddrs) == 0 && now < l.began.Add(l.hearsay()) {
		l.again = l.began.Add(l.hearsay())
		return // the peer may still say where else it is
	}
	live := l.livePairs()
	locals := l.locals()
	// Flows that are parked come back: they count.
	room := min(l.node.cfg.MaxFlows, mesh.Enough(locals, remotes)) - len(l.paths)
	want := mesh.Want(locals, remotes, live, len(live)+room, l.isBad)
	if len(want) > 0 {
		l.startJoin(now, want[0])
	} else if l.join != nil { // nothing to try now
		l.node.flows.Delete(l.join.local)
		l.join = nil
	}
}

// hearsay is how long after opening the peer's first PATHS may take.
func (l *link) hearsay() time.Duration { return max(3*l.paths[0].flow.RTT(), 10*time.Millisecond) }

func (l *link) isBad(p mesh.Pair) bool { return l.node.now() < l.bad[p] }

// nextTry is when a pair that did not answer is worth another attempt.
func (l *link) nextTry() flow.Time {
	t := flow.Never
	if len(l.paths) < l.node.cfg.MaxFlows {
		for p, until := range l.bad {
			if l.node.sockets.at(p.Local) != nil {
				t = min(t, until)
			}
		}
	}
	return t
}

// locals lists the addresses that this connection's flows may use.
func (l *link) locals() (out []mesh.Local) {
	for _, s := range l.node.sockets.list() {
		if s.usable() && (l.policy.Mode != Pinned || s.iface == l.policy.Interface) {
			out = append(out, mesh.Local{Addr: s.addr, Slot: s.slot})
		}
	}
	return out
}

// remotes lists where the peer can be reached, as far as known.
func (l *link) remotes() []netip.AddrPort {
	out := append([]netip.AddrPort(nil), l.peerAddrs...)
	for i := range l.paths {
		known := false
		for _, a := range out {
			known = known || a == l.paths[i].remote
		}
		if !known && (len(out) == 0 || i == 0 && l.natted()) {
			out = append(out, l.paths[i].remote)
		}
	}
	return out
}

// natted reports whether the peer is reached at an address that it does not know
// itself to have.
func (l *link) natted() bool { return len(l.peerAddrs) > 0 && !l.knows(l.paths[0].remote) }

// setCosts prices the flows by their interfaces.
func (l *link) setCosts() {
	for i := range l.paths {
		l.set.SetCost(uint8(i), l.cost(&l.paths[i]))
	}
}

func (l *link) cost(p *path) uint8 {
	at := l.node.sockets.at(p.socket.LocalAddr())
	switch {
	case at == nil || !at.up || at.excluded || at.drained,
		l.policy.Mode == Pinned && at.iface != l.policy.Interface:
		return sal.NeverCost
	}
	return at.cost
}

// advertise tells the peer what changed at this end.
func (l *link) advertise() {
	p := sal.PathsFrame{Mode: uint8(l.policy.Mode.flowset())}
	for i := range l.paths {
		if c := l.cost(&l.paths[i]); c > 0 && p.NFlows < sal.MaxPathFlows {
			p.Flows[p.NFlows] = sal.FlowCost{Index: uint8(i), Cost: c}
			p.NFlows++
		}
	}
	for _, a := range l.announced() {
		if p.NAddrs < sal.MaxPathAddrs {
			p.Addrs[p.NAddrs] = a
			p.NAddrs++
		}
	}
	if p == l.told || l.told == (sal.PathsFrame{}) && p.NFlows == 0 && p.Mode == 0 && p.NAddrs <= 1 {
		return // nothing that the peer does not see for itself
	}
	l.told = p
	l.set.Advertise(&p)
}

// announced lists the addresses to tell the peer: those that it could reach.
func (l *link) announced() (out []netip.AddrPort) {
	inside := l.paths[0].remote.Addr().IsLoopback()
	for _, a := range l.node.advertised() {
		if a.Addr().IsLoopback() == inside {
			out = append(out, a)
		}
	}
	return out
}

// Paths implements flowset.Control: the peer says where it can be reached.
func (l *link) Paths(now flow.Time, p *sal.PathsFrame) {
	l.peerAddrs = slices.DeleteFunc(append(l.peerAddrs[:0], p.Addrs[:p.NAddrs]...), implausible)
	l.think = true
}

// busy notes that the application moved n bytes, and whether the connection has
// become worth more than one flow.
func (l *link) busy(n int) {
	if !l.wantsFlows {
		if l.carried += n; l.carried >= bulkJoin || l.policy.Mode == Failover || l.policy.Mode == Redundant {
			l.wantsFlows, l.think = true, true
		}
	}
}

// step runs what is due besides data. The caller holds mu.
func (l *link) step(now flow.Time) {
	l.movesDue(now)
	l.followDue(now)
	l.joinDue(now)
	if now >= l.nextTry() {
		for p, until := range l.bad {
			if now >= until {
				delete(l.bad, p)
			}
		}
		l.think = true
	}
	if len(l.paths) > 1 && now >= l.warm { // flows in reserve hear nothing else
		if l.warm != 0 {
			l.keepAlive(now, keepAlive)
		}
		l.warm = now.Add(keepAlive)
	}
	if l.again != 0 && now >= l.again {
		l.again, l.think = 0, true
	}
	if l.think {
		l.reconsider(now)
	}
}

// stepDeadline is when step has something to do.
func (l *link) stepDeadline() flow.Time {
	t := l.nextTry()
	if l.again != 0 {
		t = min(t, l.again)
	}
	if len(l.paths) > 1 {
		t = min(t, l.warm)
	}
	if l.join != nil {
		t = min(t, l.join.next)
	}
	for i := range l.paths {
		t = min(t, l.paths[i].at.Deadline())
		if due := l.paths[i].follow.due; due != 0 {
			t = min(t, due)
		}
	}
	return t
}
