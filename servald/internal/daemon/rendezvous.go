package daemon

import (
	"net/netip"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/serval"
)

// node starts the daemon's own node, whose rules hold for the programs of the
// host, and which is a rendezvous if it may.
func (cfg *Config) node(g *gossip.Gossip) (*serval.Node, error) {
	at, meet := cfg.rendezvous()
	if !at.IsValid() {
		at = netip.AddrPortFrom(g.Addr().Addr(), 0)
	}
	listen := []netip.AddrPort{at}
	if cfg.Forward.IsValid() {
		listen = append(listen, cfg.Forward)
	}
	return serval.NewNode(serval.Config{Identity: cfg.Identity, Resolver: g, Listen: listen, Forward: cfg.Forward.IsValid(),
		ServeRendezvous: meet, ControlDir: nodectl.Dir(cfg.Socket), Logger: cfg.Logger})
}

// rendezvous says whether the node is a rendezvous, and where it listens; zero
// means a port of its own choice.
func (cfg *Config) rendezvous() (at netip.AddrPort, meet bool) {
	switch {
	case cfg.NoRendezvous:
		return netip.AddrPort{}, false
	case cfg.Rendezvous.IsValid():
		return cfg.Rendezvous, true
	}
	// Behind a NAT nobody could reach a port of our choice.
	return netip.AddrPort{}, !cfg.Advertise.IsValid()
}
