package flowset

import (
	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/pkg/sal"
)

// Control takes the frames that move flows about. It is called from Receive
// with whatever lock protects the connection.
type Control interface {
	RSYN(now flow.Time, f *flow.Flow, r *sal.RSYNFrame)
	Challenge(now flow.Time, f *flow.Flow, data [8]byte)
	Response(now flow.Time, f *flow.Flow, data [8]byte)
	// Paths comes after the connection took costs and mode from p, which is
	// valid during the call.
	Paths(now flow.Time, p *sal.PathsFrame)
	// Newest comes after an authentic packet with the highest number so far was
	// taken, its frames included.
	Newest(now flow.Time, f *flow.Flow)
}

// advert is what this end says of its paths.
type advert struct {
	frame sal.PathsFrame
	owed  int    // copies that should leave
	on    uint16 // flows that carry this revision, one bit each
	acked bool
}

// Advertise tells the peer all about this end's paths, on two flows if there
// are, and again until it arrives. It sets the revision in p.
func (c *Conn) Advertise(p *sal.PathsFrame) {
	if c.advert == nil {
		c.advert = new(advert)
	}
	p.Revision = c.advert.frame.Revision + 1
	*c.advert = advert{frame: *p, owed: min(2, len(c.paths))}
}

// advertPath is the flow the next copy leaves on, nil if none is owed or may.
func (c *Conn) advertPath() (best *path) {
	a := c.advert
	if a == nil || a.owed == 0 || a.acked {
		return nil
	}
	for _, p := range c.paths {
		if p.state.open() && a.on&(1<<p.f.Index) == 0 && better(p, best) {
			best = p
		}
	}
	if best == nil || best.state != Active && a.on != 0 {
		return nil
	}
	return best
}

func (c *Conn) transmitAdvert(now flow.Time, p *path, buf []byte) int {
	c.advert.owed--
	c.advert.on |= 1 << p.f.Index
	p.f.StartBurst(now)
	c.frames = sal.AppendPaths(c.frames[:0], &c.advert.frame)
	out := c.seal(p.f, sal.TypeAck, buf, c.frames)
	p.f.Sent(now, flow.Record{Kind: flow.Paths, Off: c.advert.frame.Revision, Size: uint16(len(out))})
	return len(out)
}

// advertAcked and advertLost learn what became of a copy.
func (c *Conn) advertAcked(revision uint64) {
	if c.advert.frame.Revision == revision {
		c.advert.acked = true
	}
}

func (c *Conn) advertLost(f *flow.Flow, revision uint64) {
	if c.advert.frame.Revision == revision {
		c.advert.owed++
		c.advert.on &^= 1 << f.Index
	}
}

// Advertised reports whether the peer has what was advertised last.
func (c *Conn) Advertised() bool { return c.advert == nil || c.advert.acked }

// onPaths takes the peer's word on its paths, unless it is old.
func (c *Conn) onPaths(now flow.Time, p *sal.PathsFrame) {
	if p.Revision <= c.peerRevision {
		return
	}
	c.peerRevision = p.Revision
	wish := ModeDefault
	if m := Mode(p.Mode); m <= ModeRedundant {
		wish = m
	}
	if c.peerMode != wish {
		c.peerMode = wish
		c.remode()
	}
	c.peerCosts = [sal.MaxPathFlows]uint8{}
	for _, fc := range p.Flows[:p.NFlows] {
		if int(fc.Index) < len(c.peerCosts) {
			c.peerCosts[fc.Index] = fc.Cost
		}
	}
	for i, q := range c.paths {
		if i < len(c.peerCosts) && q.peerCost != c.peerCosts[i] {
			q.peerCost = c.peerCosts[i]
			c.repriced(q)
		}
	}
	if c.control != nil {
		c.control.Paths(now, p)
	}
}

// SealPath seals a packet of type t with frames for flow i into buf. It is not
// tracked: who sends it repeats it. It returns nil if there is no such flow or
// no room.
func (c *Conn) SealPath(now flow.Time, i uint8, t sal.Type, frames, buf []byte) []byte {
	f := c.Flow(i)
	if f == nil || len(buf) < len(frames)+shortOverhead {
		return nil
	}
	out := c.seal(f, t, buf, frames)
	f.Sent(now, flow.Record{Size: uint16(len(out))})
	return out
}
