package simnet

import (
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

// maxQuote is how much of a datagram a report quotes, in bytes.
const maxQuote = 512

// refuse sends the report that nobody listens where p arrived: one for the
// batch, back over the links of the other direction.
func (i *Interface) refuse(p packet, now time.Duration) {
	n := i.host.net
	r := newReport(p.to, p.from, underlay.Unreachable{Quoted: p.data()[:min(p.seg, p.len)], Port: true})
	r.iface = i
	i.host.translate(&r)
	n.forward(r, now)
}

// InjectUnreachable puts a report for the socket with public address from on
// the path, as if from had sent a datagram to u.To: a router's, or a forged one.
func (n *Network) InjectUnreachable(from netip.AddrPort, u underlay.Unreachable) {
	r := newReport(u.To, from, u)
	r.stage = onPath
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forward(r, n.now())
}

func newReport(from, to netip.AddrPort, u underlay.Unreachable) packet {
	q := u.Quoted[:min(len(u.Quoted), maxQuote)]
	u.Quoted = nil
	return packet{buf: newBuffer(q), len: len(q), seg: max(len(q), 1), from: from, to: to, report: &u}
}

// OnUnreachable implements underlay.ErrorReporter.
func (s *socket) OnUnreachable(f func(u underlay.Unreachable)) {
	if f == nil {
		s.onUnreachable.Store(nil)
	} else {
		s.onUnreachable.Store(&f)
	}
}

// unreachable passes a report up.
func (s *socket) unreachable(p packet) {
	if f := s.onUnreachable.Load(); f != nil {
		u := *p.report
		u.To, u.Quoted = p.from, p.data()
		(*f)(u)
	}
}
