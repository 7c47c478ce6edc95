// Package simnet is a network in memory: hosts whose interfaces are joined by
// links that delay, lose, reorder, duplicate, queue or refuse datagrams, with
// NATs in between. A [Host] implements underlay.Network, so that the same
// node runs on it and on real sockets, in real time or in a testing/synctest
// bubble.
//
//	host ── uplink ── [NAT] ── tap ── path(src, dst) ── [NAT] ── downlink ── host
//
// Every link draws from a generator of its own, seeded by the network's seed
// and the link's name: the same packets in the same order meet the same fate,
// whatever happens elsewhere.
package simnet

import (
	"net/netip"
	"sync"
	"time"
)

// Network joins hosts. All methods are safe for concurrent use, also while
// traffic flows.
type Network struct {
	seed  uint64
	epoch time.Time

	mu     sync.Mutex
	outer  realm // the public Internet
	hosts  []*Host
	nats   map[netip.Addr]*NAT
	paths  map[[2]netip.Addr]*Link
	tap    Tap
	closed bool
	events events
	wake   chan struct{} // the first event has changed
	quit   chan struct{}
	done   sync.WaitGroup
}

// realm is an address space: the public one, or the inside of a NAT.
type realm map[netip.Addr]*Interface

// New returns an empty network; call Close to end it.
func New(seed uint64) *Network {
	n := &Network{
		seed:  seed,
		epoch: time.Now(),
		outer: make(realm),
		nats:  make(map[netip.Addr]*NAT),
		paths: make(map[[2]netip.Addr]*Link),
		wake:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
	}
	n.done.Go(n.run)
	return n
}

// Host adds a host with one interface for each address.
func (n *Network) Host(addrs ...netip.Addr) *Host {
	return newHost(n, nil, addrs)
}

// Path is the one-way link between two public addresses: those of interfaces
// or of NATs. It is perfect until Set.
func (n *Network) Path(src, dst netip.Addr) *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]netip.Addr{src, dst}
	l := n.paths[key]
	if l == nil {
		l = newLink(n, src.String()+">"+dst.String())
		n.paths[key] = l
	}
	return l
}

// SetPath sets the links between a and b in both directions.
func (n *Network) SetPath(a, b netip.Addr, p Params) {
	n.Path(a, b).Set(p)
	n.Path(b, a).Set(p)
}

// Close ends the network, all sockets still open and all watches, and waits for
// their handlers.
func (n *Network) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	var socks []*socket
	var watchers []*watcher
	for _, h := range n.hosts {
		for _, s := range h.socks {
			socks = append(socks, s)
		}
		for w := range h.watch {
			watchers = append(watchers, w)
		}
	}
	n.mu.Unlock()
	close(n.quit)
	n.done.Wait()
	for _, s := range socks {
		s.Close()
	}
	for _, w := range watchers {
		w.stop()
	}
	return nil
}

// now is the time since the network began.
func (n *Network) now() time.Duration { return time.Since(n.epoch) }
