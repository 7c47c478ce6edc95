package serval

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// watch follows the host's interfaces and addresses.
func (n *Node) watch() error {
	stop, err := n.sockets.network.Watch(n.refresh)
	if err != nil {
		return fmt.Errorf("serval: cannot watch this host's interfaces: %w", err)
	}
	n.unwatch = stop
	n.refresh() // what changed before we watched
	return nil
}

// refresh takes in that the host's addresses may have changed: sockets first,
// then connections, then what the node is known by.
func (n *Node) refresh() {
	changed, err := n.sockets.refresh(n)
	if err != nil {
		n.log.Warn("cannot follow the host's addresses", "error", err)
	}
	if !changed {
		return
	}
	n.log.Info("addresses changed", "now", n.sockets.addrs())
	n.reconsider()
	n.announce()
}

// reconsider makes every connection look at its flows again.
func (n *Node) reconsider() {
	for _, l := range n.allLinks() {
		l.mu.Lock()
		l.think = true
		l.pump(n.now())
		l.mu.Unlock()
	}
}

// advertised lists where others can reach the node.
func (n *Node) advertised() []netip.AddrPort {
	if len(n.cfg.Advertise) > 0 {
		return n.cfg.Advertise
	}
	return n.sockets.addrs()
}

// registered is advertised for a resolver, which keeps a limited number.
func (n *Node) registered() []netip.AddrPort {
	addrs := n.cfg.Advertise
	if len(addrs) == 0 {
		addrs = n.sockets.public()
	}
	return addrs[:min(len(addrs), resolver.MaxAddrs)]
}

// announce registers anew, with its present addresses, all that the node serves,
// and the node itself if it has connections: their peers may look for it.
func (n *Node) announce() {
	addrs, ls := n.registered(), n.Listeners()
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
		defer cancel()
		n.finder.announce(ctx, n, addrs)
		n.router.upward.update(ctx, n)
		for _, l := range ls {
			l.update(ctx)
		}
	}()
}

// stillAllows reports whether a connection would be let in now.
func (n *Node) stillAllows(l *link) error {
	if err := l.peer.Valid(time.Now()); err != nil {
		return err
	}
	if l.service == (sal.Name{}) {
		return nil
	}
	if l.dialled && !l.peer.MayServe(l.service) || !l.dialled && !l.peer.MayDial(l.service) {
		return because(ErrNotAuthorized, "the peer's certificate does not cover %v", l.service)
	}
	return nil
}
