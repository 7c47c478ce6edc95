package serval

import (
	"context"
	"time"

	"github.com/serval-net/serval/internal/flowset"
)

// Drain moves the live flows of all connections off an interface or address of
// this host, for maintenance, and returns when the last has left; progress, if
// not nil, hears how many are left. New flows avoid it until Undrain. If ctx ends
// first, what has left stays away. An interface that is not there is avoided should
// it appear.
func (n *Node) Drain(ctx context.Context, what string, progress func(left int)) error {
	n.sockets.drain(what, true)
	n.sockets.refresh(n)
	n.reconsider()
	n.announce()
	if err := waitUntilNone(ctx, n.drainOnce, progress); err != nil {
		return &OpError{Op: "drain", Service: what, Err: err}
	}
	return nil
}

// waitUntilNone counts again and again until nothing is left or ctx ends;
// progress, if not nil, hears of every change.
func waitUntilNone(ctx context.Context, count func() int, progress func(left int)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last := -1; ; {
		left := count()
		if left != last && progress != nil {
			progress(left)
		}
		last = left
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Undrain lets flows use again what was drained.
func (n *Node) Undrain(what string) error {
	n.sockets.drain(what, false)
	n.sockets.refresh(n)
	n.reconsider()
	n.announce()
	return nil
}

// drain marks an interface or address, whether or not it is there.
func (s *sockets) drain(what string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.drained[what] = true
	} else {
		delete(s.drained, what)
	}
}

// drainOnce parks what may leave now and counts what is left on drained
// addresses.
func (n *Node) drainOnce() (left int) {
	for _, l := range n.allLinks() {
		l.mu.Lock()
		left += l.drain()
		l.mu.Unlock()
	}
	return left
}

// drain takes flows off drained addresses: they move where there is no flow yet,
// and otherwise leave their data to the others. It returns how many are still
// there. The caller holds mu.
func (l *link) drain() (left int) {
	now := l.node.now()
	others := 0
	for i := range l.paths {
		at := l.node.sockets.at(l.paths[i].socket.LocalAddr())
		if l.set.State(uint8(i)) == flowset.Active && at != nil && !at.drained {
			others++
		}
	}
	for i := range l.paths {
		p := &l.paths[i]
		at := l.node.sockets.at(p.socket.LocalAddr())
		if at == nil || !at.drained || l.gone || l.set.State(uint8(i)) == flowset.Parked {
			continue
		}
		if others > 0 && p.flow.InFlight() == 0 && l.set.Advertised() { // the peer knows
			l.set.SetState(now, uint8(i), flowset.Parked)
			continue
		}
		left++
		if others == 0 && p.at.Unanswered() == 0 {
			for _, to := range l.locals() {
				if dst := l.node.sockets.at(to.Addr); dst != nil && to.Addr.Addr().Is4() == p.remote.Addr().Is4() && to.Addr.Addr().IsLoopback() == p.remote.Addr().IsLoopback() {
					l.move(now, i, dst, true)
					break
				}
			}
		}
	}
	l.pump(now)
	return left
}
