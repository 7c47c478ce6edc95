package gossip

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/underlay"
)

// loopback is where to gossip without a way out.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// anywhere are addresses for documentation: the default route leads to them.
var anywhere = []string{"192.0.2.1:9", "[2001:db8::1]:9"}

// sourceFor returns the local address from which the first of some addresses
// that has one is reached, or what to return otherwise.
func sourceFor(addrs []string, otherwise netip.Addr) netip.Addr {
	for _, addr := range addrs {
		c, err := net.Dial("udp", addr) // sends nothing
		if err != nil {
			continue
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	}
	return otherwise
}

// retryMove is how soon a move is tried again that failed.
const retryMove = time.Second

// follow moves the gossip when this host's addresses or routes change.
func (g *Gossip) follow() {
	network, changed := new(underlay.UDP), make(chan struct{}, 1)
	stop, err := network.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		g.log.Warn("the gossip will not notice when this host moves", "err", err)
		return
	}
	defer stop()
	away := false // there is no way out
	for {
		var retry <-chan time.Time
		if all, err := network.Interfaces(); err == nil {
			now := g.place()
			switch want := g.cfg.wanted(g.acquaintances(), all, now); {
			case !want.IsValid():
				away = true
			case want != now:
				if err := g.move(want); err != nil {
					g.log.Warn("the gossip could not move; will try again", "to", want, "err", err)
					retry = time.After(retryMove)
				}
				away = false
			case away:
				g.rejoin()
				away = false
			}
		}
		select {
		case <-g.ctx.Done():
			return
		case <-changed:
		case <-retry:
		}
	}
}

// place is the local address that others reach this node by.
func (g *Gossip) place() netip.Addr {
	m := g.member()
	if ip := m.bind.Addr(); !ip.IsUnspecified() {
		return ip
	}
	return m.addr().Addr()
}

// wanted chooses the local address to gossip from, given the addresses of others
// and the interfaces there are: the one asked for if it is there, else the one of
// now while routing leads from it to somebody, else the first that routing leads
// from, if any.
func (cfg Config) wanted(known []string, all []underlay.Interface, now netip.Addr) netip.Addr {
	here := func(a netip.Addr) bool {
		return slices.ContainsFunc(all, func(i underlay.Interface) bool {
			return i.Running && (slices.Contains(i.Addrs, a) || i.Loopback && a.IsLoopback())
		})
	}
	asked := cfg.Bind.Addr()
	wild := asked.IsValid() && asked.IsUnspecified()
	if asked.IsValid() && !wild && here(asked) {
		return asked
	}
	known = slices.DeleteFunc(known, func(addr string) bool {
		_, err := netip.ParseAddrPort(addr)
		return err != nil // to look up a name would take long now
	})
	if len(known) == 0 {
		if !wild && len(cfg.Seeds) == 0 {
			return now // a cluster of one
		}
		if here(now) && !now.IsLoopback() {
			return now // nothing speaks against it
		}
	}
	var want netip.Addr
	for _, addr := range append(known, anywhere...) {
		from := sourceFor([]string{addr}, netip.Addr{})
		switch {
		case !here(from) || wild && asked.Is4() && !from.Is4():
		case from == now || wild && cfg.Advertise.IsValid(): // which its own address does not matter to
			return now
		case !want.IsValid():
			want = from
		}
	}
	return want
}

// move begins another membership at another address, with the same port if it
// is free there, and leaves the old one.
func (g *Gossip) move(to netip.Addr) error {
	g.moving.Lock()
	defer g.moving.Unlock()
	if g.ctx.Err() != nil {
		return nil
	}
	old := g.member()
	g.remember(old.addrs())
	bind, advertise := netip.AddrPortFrom(to, old.bind.Port()), g.cfg.Advertise
	if bind.Port() == 0 && !advertise.IsValid() {
		bind = netip.AddrPortFrom(to, old.addr().Port())
	}
	wild := old.bind.Addr().IsUnspecified()
	if wild {
		old.end(0) // it holds the port
		bind, advertise = netip.AddrPortFrom(old.bind.Addr(), bind.Port()), netip.AddrPortFrom(to, 0)
	}
	m, err := g.begin(bind, advertise)
	if err != nil && g.cfg.Bind.Port() == 0 {
		m, err = g.begin(netip.AddrPortFrom(bind.Addr(), 0), advertise)
	}
	if err != nil {
		return err
	}
	g.now.Store(m)
	g.log.Info("the gossip has moved", "to", m.addr())
	if !wild {
		g.done.Go(func() { old.end(farewell) })
	}
	g.rejoin()
	return nil
}
