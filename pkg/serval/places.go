package serval

import (
	"bytes"
	"cmp"
	"context"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// places are the rendezvous that the resolver knows of. It is asked ahead of
// trouble: in trouble, it may be as far away as the peer.
type places struct {
	mu    sync.Mutex
	asked time.Time
	busy  bool
	list  []place // by node, so that all nodes have the same list
}

// place is a rendezvous.
type place struct {
	node  identity.NodeID
	addrs []netip.AddrPort
}

const (
	placesEvery = 30 * time.Second // how old what is known may get
	placesAgain = time.Second      // the same if nothing is known
	maxPlaces   = 64
	placesTried = 3 // at a time
)

// refresh asks the resolver for rendezvous, if it is time to. It does not wait.
func (s *places) refresh(n *Node) {
	if n.cfg.Resolver == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	every := placesEvery
	if len(s.list) == 0 && !s.asked.IsZero() && len(n.cfg.Rendezvous) == 0 {
		every = placesAgain
	}
	if s.busy || time.Since(s.asked) < every {
		return
	}
	s.busy = true
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		ctx, cancel := context.WithTimeout(context.Background(), searchTimeout)
		defer cancel()
		found, err := n.cfg.Resolver.Resolve(ctx, rendezvousName)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy, s.asked = false, time.Now()
		if err == nil { // else what was known is better than nothing
			s.list = inOrder(found)
		}
	}()
}

// inOrder makes places of what the resolver found, in an order that does not
// depend on who asked.
func inOrder(found []resolver.Instance) (list []place) {
	for _, in := range found {
		if addrs := slices.DeleteFunc(slices.Clone(in.Addrs), implausible); len(addrs) > 0 {
			list = append(list, place{in.Node, addrs})
		}
	}
	slices.SortStableFunc(list, func(a, b place) int { return bytes.Compare(a.node[:], b.node[:]) })
	return list[:min(len(list), maxPlaces)]
}

// choose returns the rendezvous to try in a round, from 0. Each name has an order
// of its own, the same for both who meet: so they spread, and yet find each other.
func (s *places) choose(name [16]byte, round int) (out []netip.AddrPort) {
	s.mu.Lock()
	list := slices.Clone(s.list)
	s.mu.Unlock()
	rank := func(p place) uint64 {
		h := fnv.New64a()
		h.Write(name[:])
		h.Write(p.node[:])
		return h.Sum64()
	}
	slices.SortStableFunc(list, func(a, b place) int { return cmp.Compare(rank(a), rank(b)) })
	for k := range min(placesTried, len(list)) {
		p := list[(round*placesTried+k)%len(list)]
		out = append(out, p.addrs...)
	}
	return out
}

// rendezvous lists where to meet the one who knows the same name.
func (n *Node) rendezvous(name [16]byte, round int) []netip.AddrPort {
	s := &n.finder.places
	s.refresh(n)
	return append(s.choose(name, round), n.cfg.Rendezvous...)
}

// serveRendezvous registers the node as a rendezvous, with its present
// addresses, if its certificate lets it be one.
func (f *finder) serveRendezvous(ctx context.Context, n *Node, addrs []netip.AddrPort) error {
	if self := n.id.Peer(); !n.cfg.ServeRendezvous || !self.MayServe(rendezvousName) {
		return nil
	}
	return f.keep(ctx, &f.meeting, addrs, func() (resolver.Lease, error) {
		return n.cfg.Registrar.Register(ctx, resolver.Registration{Service: rendezvousName, Identity: n.id, Addrs: addrs})
	})
}

// implausible reports whether an address cannot be that of one node.
func implausible(a netip.AddrPort) bool {
	ip := a.Addr()
	return !ip.IsValid() || a.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcast
}

var (
	broadcast      = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	rendezvousName = sal.MustParseName(RendezvousService)
)
