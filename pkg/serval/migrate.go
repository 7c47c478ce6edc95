package serval

import (
	"context"
	"errors"
	"net/netip"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
)

// ErrNoInterface: no interface or address of this host is as asked.
var ErrNoInterface = errors.New("no such interface")

// MigrateTo says which flows of a connection to move where.
type MigrateTo struct {
	// Flow is the index of the flow to move; AllFlows moves all that can carry
	// data. The zero value is the first flow.
	Flow int
	// Interface or Addr is where to: one of them.
	Interface string
	Addr      netip.Addr
}

// AllFlows stands for every flow in MigrateTo.
const AllFlows = -1

// Migrate moves flows to another interface or address of this host, and returns
// when the peer has confirmed the new path. Data goes on over the old path until
// then. If the peer cannot be reached from there before ctx ends, the flow stays
// where it is.
func (c *Conn) Migrate(ctx context.Context, to MigrateTo) error {
	_, err := c.link.migrate(ctx, to)
	return c.wrap("migrate", err)
}

// migrate reports how many flows it moved.
func (l *link) migrate(ctx context.Context, to MigrateTo) (moved int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if to.Flow != AllFlows && (to.Flow < 0 || to.Flow >= len(l.paths)) {
		return 0, because(ErrNoFlow, "the connection has no flow %d; it has %d", to.Flow, len(l.paths))
	}
	var under []int
	for i := range l.paths {
		if to.Flow != i && (to.Flow != AllFlows || l.set.State(uint8(i)) == flowset.Parked) {
			continue
		}
		p := &l.paths[i]
		dst := l.node.sockets.target(to, p.remote.Addr())
		if dst == nil {
			return 0, because(ErrNoInterface, "no usable address on %s that fits the peer's %v", to.where(), p.remote.Addr())
		}
		if dst.addr != p.at.Local() || p.at.Unanswered() > 0 {
			l.move(l.node.now(), i, dst, l.set.State(uint8(i)) != flowset.Parked)
			under = append(under, i)
		}
	}
	if l.policy.Mode == Pinned && to.Interface != "" {
		l.policy.Interface = to.Interface
	}
	for {
		l.pump(l.node.now())
		left := 0
		for _, i := range under {
			if l.paths[i].at.Unanswered() > 0 {
				left++
			}
		}
		if l.gone {
			return len(under) - left, cause(l.set.Err())
		}
		if left == 0 {
			l.think = true
			l.pump(l.node.now())
			return len(under), nil
		}
		if l.waiting == nil {
			l.waiting = make(chan struct{})
		}
		changed := l.waiting
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-ctx.Done():
			l.mu.Lock()
			l.stay(l.node.now(), under)
			return len(under) - left, ctx.Err()
		}
	}
}

// stay calls moves off that were not confirmed.
func (l *link) stay(now flow.Time, under []int) {
	for _, i := range under {
		p := &l.paths[i]
		if at := l.node.sockets.at(p.socket.LocalAddr()); p.at.Unanswered() > 0 && at != nil && at.up {
			l.move(now, i, at, true)
		}
	}
	l.pump(now)
}

func (t MigrateTo) where() string {
	if t.Interface != "" {
		return t.Interface
	}
	return t.Addr.String()
}

// ErrNoFlow: the connection has no such flow.
var ErrNoFlow = errors.New("no such flow")

// target returns where a flow to a remote should move, nil if there is no such
// place.
func (s *sockets) target(to MigrateTo, remote netip.Addr) *local {
	if to.Interface != "" {
		return s.onInterface(to.Interface, remote)
	}
	list := s.list()
	for i := range list {
		if l := &list[i]; l.usable() && l.addr.Addr() == to.Addr && l.addr.Addr().Is4() == remote.Is4() {
			return l
		}
	}
	return nil
}

// onInterface returns the socket on an interface for flows to a remote, nil if
// there is none. Aliases of the loopback interface are named by their address.
func (s *sockets) onInterface(name string, remote netip.Addr) *local {
	list := s.list()
	for i := range list {
		l := &list[i]
		if l.usable() && (l.iface == name || l.addr.Addr().String() == name) && l.addr.Addr().Is4() == remote.Is4() {
			return l
		}
	}
	return nil
}

func (s *sockets) hasInterface(name string) bool {
	for _, l := range s.list() {
		if l.usable() && (l.iface == name || l.addr.Addr().String() == name) {
			return true
		}
	}
	return false
}
