package serval

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Aggregate makes this node known with a registrar, of a wider domain as a rule,
// as the way to all services under a name, such as "svc:shop/*": who dials one of
// them there sends the first packet here, and this node, a service router with
// Config.Forward, sends it on. So the wider domain need not know the instances.
// The node's certificate must allow it to serve the name. The registration follows
// the node's addresses until the lease is closed, or the node.
func (n *Node) Aggregate(ctx context.Context, upper resolver.Registrar, service string) (resolver.Lease, error) {
	fail := func(err error) (resolver.Lease, error) {
		return nil, &OpError{Op: "aggregate", Service: service, Err: err}
	}
	name, err := sal.ParseName(service)
	if err != nil {
		return fail(err)
	}
	if !n.cfg.Forward {
		return fail(because(ErrRefused, "this node does not forward what it would be sent for %v; set Config.Forward", name))
	}
	if err := n.mayServe(name); err != nil {
		return fail(err)
	}
	lease, err := upper.Register(ctx, resolver.Registration{Service: name, Identity: n.id, Addrs: n.registered()})
	if err != nil {
		return fail(err)
	}
	a := &aggregate{of: &n.router.upward, lease: lease}
	if !a.of.add(a) {
		lease.Close(ctx)
		return fail(errNodeClosed)
	}
	return a, nil
}

// aggregates are the names that a node has registered for others. The zero value
// is ready.
type aggregates struct {
	mu     sync.Mutex
	all    map[*aggregate]struct{}
	closed bool
}

type aggregate struct {
	of    *aggregates
	lease resolver.Lease
}

// Close implements resolver.Lease.
func (a *aggregate) Close(ctx context.Context) error {
	a.of.mu.Lock()
	_, open := a.of.all[a]
	delete(a.of.all, a)
	a.of.mu.Unlock()
	if !open {
		return nil
	}
	return a.lease.Close(ctx)
}

func (s *aggregates) add(a *aggregate) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.all == nil {
		s.all = make(map[*aggregate]struct{})
	}
	s.all[a] = struct{}{}
	return true
}

func (s *aggregates) list() []*aggregate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}

// update registers the node's present addresses.
func (s *aggregates) update(ctx context.Context, n *Node) {
	addrs := n.registered()
	for _, a := range s.list() {
		if u, ok := a.lease.(resolver.Updater); ok && len(addrs) > 0 {
			if err := u.Update(ctx, resolver.At(addrs...)); err != nil {
				n.log.Info("the new addresses could not be registered for what this node forwards", "error", err)
			}
		}
	}
}

// close withdraws all.
func (s *aggregates) close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, a := range s.list() {
		a.Close(ctx)
	}
}
