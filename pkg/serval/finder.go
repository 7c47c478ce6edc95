package serval

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

// finder looks for peers that have moved while we did, and makes this node
// findable: both by the nodes' records in the resolver. It asks for a peer once
// for all connections to it.
type finder struct {
	places places

	mu      sync.Mutex
	lease   resolver.Lease // of the node's record
	meeting resolver.Lease // as a rendezvous
	closed  bool
	sought  map[identity.NodeID]*sought
}

// sought is what is known of where a peer, or a rendezvous, went.
type sought struct {
	asked time.Time
	busy  bool
	addrs []netip.AddrPort
}

// search is a connection's part in the search for its peer.
type search struct {
	next  flow.Time
	asked []netip.AddrPort // rendezvous, the latest last
}

// note remembers that a rendezvous was asked.
func (s *search) note(to netip.AddrPort) {
	const most = 64
	if !slices.Contains(s.asked, to) {
		s.asked = append(s.asked[max(0, len(s.asked)-most+1):], to)
	}
}

const (
	searchEvery   = 300 * time.Millisecond
	searchTimeout = 2 * time.Second
	maxSought     = 4096
)

// announce registers the node's record, if anybody has reason to look for it,
// and the node as a rendezvous if it is one.
func (f *finder) announce(ctx context.Context, n *Node, addrs []netip.AddrPort) {
	if n.cfg.Registrar == nil || len(addrs) == 0 {
		return
	}
	err := f.keep(ctx, &f.lease, addrs, func() (resolver.Lease, error) {
		if len(n.allLinks()) == 0 {
			return nil, nil
		}
		return resolver.RegisterNode(ctx, n.cfg.Registrar, n.id, addrs)
	})
	if err = errors.Join(err, f.serveRendezvous(ctx, n, addrs)); err != nil {
		n.log.Info("the new addresses could not be registered", "error", err)
	}
}

// keep updates a lease, or takes it if there is none.
func (f *finder) keep(ctx context.Context, at *resolver.Lease, addrs []netip.AddrPort, register func() (resolver.Lease, error)) error {
	f.mu.Lock()
	lease := *at
	f.mu.Unlock()
	if u, ok := lease.(resolver.Updater); ok {
		return u.Update(ctx, resolver.At(addrs...))
	}
	lease, err := register()
	if err != nil || lease == nil {
		return err
	}
	f.mu.Lock()
	closed := f.closed
	if !closed {
		*at = lease
	}
	f.mu.Unlock()
	if closed {
		return lease.Close(ctx)
	}
	return nil
}

// close withdraws what the node registered.
func (f *finder) close() {
	f.mu.Lock()
	f.closed = true
	leases := []resolver.Lease{f.lease, f.meeting}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), searchTimeout)
	defer cancel()
	for _, lease := range leases {
		if lease != nil {
			lease.Close(ctx)
		}
	}
}

// find asks the resolver for a peer's addresses and calls found with them, unless
// that was done just now. What was found last is returned at once.
func (n *Node) find(id identity.NodeID, found func()) []netip.AddrPort {
	if n.cfg.Resolver == nil {
		return nil
	}
	f := &n.finder
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sought[id]
	if s == nil {
		if f.sought == nil || len(f.sought) >= maxSought {
			f.sought = make(map[identity.NodeID]*sought)
		}
		s = new(sought)
		f.sought[id] = s
	}
	if !s.busy && time.Since(s.asked) >= searchEvery {
		s.busy = true
		n.wg.Add(1)
		go func() {
			defer n.wg.Done()
			ctx, cancel := context.WithTimeout(context.Background(), searchTimeout)
			defer cancel()
			addrs, err := resolver.LookupNode(ctx, n.cfg.Resolver, id)
			f.mu.Lock()
			s.busy, s.asked = false, time.Now()
			if err == nil {
				s.addrs = addrs
			}
			f.mu.Unlock()
			if err == nil {
				found()
			}
		}()
	}
	return s.addrs
}

// look looks for a peer that answers no RSYN of a flow: at the rendezvous, and
// in the resolver. The caller holds mu.
func (l *link) look(now flow.Time, p *path, by underlay.Socket, pkt *movePacket) {
	l.meet(now, p, by, pkt)
	if now < l.search.next {
		return
	}
	l.search.next = now.Add(searchEvery)
	l.hint(now, l.node.find(l.peer.Node, func() {
		l.node.goLinks(func(k *link) {
			if k.peer.Node == l.peer.Node {
				k.mu.Lock()
				k.hint(k.node.now(), k.node.find(k.peer.Node, func() {}))
				k.pump(k.node.now())
				k.mu.Unlock()
			}
		})
	}))
}

// hint takes in where others say that the peer is, and tries there. The caller
// holds mu.
func (l *link) hint(now flow.Time, addrs []netip.AddrPort) {
	news := false
	for _, a := range addrs {
		news = news || !l.knows(a)
	}
	if !news || l.gone {
		return
	}
	l.hints = addrs
	for i := range l.paths {
		if p := &l.paths[i]; p.at.Unanswered() > 0 {
			l.act(now, i, p.at.Move(now, p.at.Local(), fresh(), true))
		}
	}
}
