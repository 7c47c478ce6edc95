package serval

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// When a process dies, its host's kernel answers for it: port unreachable. Such
// a report is not authenticated, so it decides nothing alone. It must quote a
// packet of ours, which only someone on the path has seen; a dial then asks the
// next candidate at once, and a connection asks the peer, again and again for
// deadAfter. Only if the port is still reported closed, and nothing authentic
// was heard, is the peer taken for dead: a host that moved away leaves silence
// behind, not closed ports.
const (
	deadAfter   = 400 * time.Millisecond // or three round trips, if that is longer
	deadProbe   = 50 * time.Millisecond
	deadReports = 2
)

// unreachable takes a report about a datagram this node sent.
func (n *Node) unreachable(u underlay.Unreachable) {
	if !u.Port || !n.reports.allow(time.Now()) {
		return
	}
	t, err := sal.PeekType(u.Quoted)
	if err != nil {
		return
	}
	if t == sal.TypeSYN {
		if id, ok := sal.PeekSource(u.Quoted); ok {
			if e := n.flows.Lookup(id); e != nil && e.dial != nil {
				e.dial.closed(u.To)
			}
		}
		if n.cfg.Forward {
			n.bounce(u)
		}
		return
	}
	id, ok := sal.PeekFlow(u.Quoted)
	if !ok {
		return
	}
	for _, l := range n.allLinks() {
		l.refused(u, id)
	}
}

// refused records a report that the peer's port is closed, which quotes a packet
// for a flow of the peer's.
func (l *link) refused(u underlay.Unreachable, id sal.FlowID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.paths, func(p path) bool { return p.flow.Remote == id && p.remote == u.To })
	if l.gone || i < 0 {
		return
	}
	now := l.node.now()
	if l.live.refused(now, max(deadAfter, 3*l.paths[i].flow.RTT())) {
		l.set.Fail(because(ErrReset, "the peer's process is gone: nothing listens at %v any more", u.To))
	}
	l.pump(now)
}

// refused counts a report. It reports whether the peer is to be taken for dead.
func (v *liveness) refused(now flow.Time, patience time.Duration) bool {
	if v.closedSince == 0 {
		v.closedSince = now
	}
	v.reports++
	v.next = min(v.next, now.Add(deadProbe))
	return v.reports >= deadReports && now.Sub(v.closedSince) >= patience
}

// closed tells a dial that nobody listens at an address.
func (d *dialing) closed(at netip.AddrPort) {
	select {
	case d.answers <- answer{from: at, err: fmt.Errorf("%w: nothing listens at %v", ErrRefused, at)}:
	default:
	}
}
