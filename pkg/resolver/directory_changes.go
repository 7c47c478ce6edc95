package resolver

import (
	"context"
	"iter"
	"time"
)

// changes is a list of all instances that are or were listed, in order of their
// last change, numbered. A follower is a mark in the list: what lies behind it
// is news to it. So followers need no memory of their own however slow they are,
// and several changes of an instance come as one. Only what was forgotten
// altogether a follower cannot find there; then it begins anew.
type changes struct {
	root      held // before the oldest and behind the newest; it has no record, nor have marks
	seq       uint64
	forgotten uint64 // the latest change of all that were forgotten
}

func (c *changes) init() { c.root.newer, c.root.older = &c.root, &c.root }

// note puts h, of which something has changed, at the end.
func (c *changes) note(h *held) {
	if isHidden(h.Service) {
		return
	}
	c.seq++
	h.unlink()
	h.seq = c.seq
	h.linkBefore(&c.root)
}

func (c *changes) forget(h *held) {
	h.unlink()
	c.forgotten = max(c.forgotten, h.seq)
}

func (h *held) unlink() {
	if h.newer != nil {
		h.newer.older, h.older.newer = h.older, h.newer
		h.newer, h.older = nil, nil
	}
}

func (h *held) linkBefore(at *held) {
	h.newer, h.older = at, at.older
	h.older.newer, at.older = h, h
}

// follower is how far one has come.
type follower struct {
	mark   held
	begun  uint64 // how far the list went when its snapshot began
	at     uint64 // the changes up to here are known to it
	behind bool   // in the middle of a snapshot
}

// step returns the next update, or none if there is no news yet. more says that
// it did not get to the end of the list.
func (c *changes) step(f *follower) (u Update, more bool) {
	if f.mark.newer == nil || c.forgotten > max(f.at, f.begun) {
		f.begun, f.at, f.behind = c.seq, 0, true
		f.mark.unlink()
		f.mark.linkBefore(c.root.newer)
		u.Snapshot = true
	}
	h := f.mark.newer
	for n := 0; n < atOnce && h != &c.root; n, h = n+1, h.newer {
		if h.Record == nil {
			continue // another's mark
		}
		f.at = h.seq
		if h.ended && h.seq <= f.begun {
			continue // a snapshot need not tell what ended before
		}
		u.Changes = append(u.Changes, Change{h.Instance(time.Time{}), h.ended})
	}
	f.mark.unlink()
	f.mark.linkBefore(h)
	more = h != &c.root
	if !more {
		f.at = c.seq
	}
	u.More = f.at < f.begun
	return u, more
}

// Follow implements Follower. That an instance has expired it tells when Expire
// has noticed.
func (d *Directory) Follow(ctx context.Context) iter.Seq[Update] {
	return func(yield func(Update) bool) {
		changed, stop := d.watch(true)
		defer stop()
		f := new(follower)
		defer d.unfollow(f)
		for ctx.Err() == nil {
			u, more := d.step(f)
			finishes := f.behind && !u.More
			f.behind = u.More
			if (u.Snapshot || finishes || len(u.Changes) > 0) && !yield(u) {
				return
			}
			if more {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

func (d *Directory) step(f *follower) (Update, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes.step(f)
}

func (d *Directory) unfollow(f *follower) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.mark.unlink()
}

// Watch returns a channel that receives after all news, renewals too, or once for
// several that are close together. Call stop when done. Follow tells what has
// changed.
func (d *Directory) Watch() (news <-chan struct{}, stop func()) { return d.watch(false) }

func (d *Directory) watch(changesOnly bool) (news <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watchers[c] = changesOnly
	return c, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, c)
	}
}

func (d *Directory) notify(changed bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for c, changesOnly := range d.watchers {
		if changesOnly && !changed {
			continue
		}
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
