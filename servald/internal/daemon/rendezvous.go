package daemon

import (
	"net/netip"

	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/serval"
)

// rendezvous starts the node that is a rendezvous, or returns nil if there is to
// be none.
func (cfg *Config) rendezvous(g *gossip.Gossip) (*serval.Node, error) {
	at := cfg.Rendezvous
	if !at.IsValid() {
		if cfg.Advertise.IsValid() {
			cfg.NoRendezvous = true // nobody could reach a port of our choice
		}
		at = netip.AddrPortFrom(g.Addr().Addr(), 0)
	}
	if cfg.NoRendezvous {
		return nil, nil
	}
	return serval.NewNode(serval.Config{Identity: cfg.Identity, Resolver: g, Listen: []netip.AddrPort{at},
		ServeRendezvous: true, Logger: cfg.Logger})
}
