package resolver

import (
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// instanceKey tells instances apart.
type instanceKey struct {
	service sal.Name
	node    identity.NodeID
}

// held is the latest record of an instance in a Directory, how long the instance
// is known and when it is forgotten. The directory's lock guards it.
type held struct {
	*Record
	live, until time.Time
	ended       bool   // it was withdrawn, or it is known that live has passed
	sum         uint64 // of the record's bytes
	place       int    // among what is due

	nextHere, prevHere *held // of the same service

	// The list of changes: see there.
	newer, older *held
	seq          uint64
}

func (h *held) isLive(now time.Time) bool { return !h.Withdrawn && now.Before(h.live) }

// listed reports whether the instance is, for all that was noticed so far.
func (h *held) listed() bool { return h.Record != nil && !h.ended }

// end is when there is something to do next.
func (h *held) end() time.Time {
	if h.ended {
		return h.until
	}
	return h.live
}

// afterwards is for how long at least an end is remembered, so that those who
// follow the changes hear of it.
const afterwards = 10 * time.Second

// take replaces the record. Clocks differ, so the TTL counts from when the record
// came, but not for longer than one that comes now would be accepted.
func (h *held) take(r *Record, sum uint64, now time.Time) {
	h.Record, h.sum, h.ended = r, sum, r.Withdrawn
	h.live, h.until = now.Add(r.TTL), r.Issued.Add(r.TTL+clockSkew)
	if h.until.Before(h.live) {
		h.live = h.until
	}
	if remembered := h.live.Add(afterwards); h.until.Before(remembered) {
		h.until = remembered
	}
}

// enter makes room for the first record of an instance. The caller holds the
// lock, as those of the functions below.
func (d *Directory) enter(r *Record) *held {
	h := new(held)
	if first := d.services[r.Service]; first != nil {
		h.nextHere, first.prevHere = first, h
	}
	d.services[r.Service] = h
	d.held[instanceKey{r.Service, r.Node}] = h
	d.perNode[r.Node]++
	return h
}

// remove forgets an instance.
func (d *Directory) remove(h *held) {
	switch {
	case h.prevHere != nil:
		h.prevHere.nextHere = h.nextHere
	case h.nextHere != nil:
		d.services[h.Service] = h.nextHere
	default:
		delete(d.services, h.Service)
	}
	if h.nextHere != nil {
		h.nextHere.prevHere = h.prevHere
	}
	delete(d.held, instanceKey{h.Service, h.Node})
	d.forgetSum(h)
	d.due.Remove(h)
	d.changes.forget(h)
	if d.perNode[h.Node]--; d.perNode[h.Node] == 0 {
		delete(d.perNode, h.Node)
	}
}

// forgetSum makes the directory no longer recognise the record. Another may have
// the same sum; then that one is recognised.
func (d *Directory) forgetSum(h *held) {
	if d.known[h.sum] == h {
		delete(d.known, h.sum)
	}
}
