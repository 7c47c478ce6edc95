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
	switch {
	case cfg.NoRendezvous:
		return nil, nil
	case at.IsValid():
	case cfg.Advertise.IsValid(): // nobody could reach a port of our choice
		return nil, nil
	default:
		at = netip.AddrPortFrom(g.Addr().Addr(), 0)
	}
	return serval.NewNode(serval.Config{Identity: cfg.Identity, Resolver: g, Listen: []netip.AddrPort{at},
		ServeRendezvous: true, Logger: cfg.Logger})
}
