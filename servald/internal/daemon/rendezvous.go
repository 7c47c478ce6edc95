package daemon

import (
	"net/netip"
	"slices"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/outbound"
)

// node starts the daemon's own node, whose rules hold for the programs of the
// host, and which is a rendezvous if it may.
func (cfg *Config) node(g *gossip.Gossip) (*serval.Node, error) {
	_, meet := cfg.rendezvous()
	return serval.NewNode(serval.Config{Identity: cfg.Identity, Resolver: g, Listen: cfg.listen(g.Addr().Addr()), Forward: cfg.Forward.IsValid(),
		ServeRendezvous: meet, ControlDir: nodectl.Dir(cfg.Socket), Policy: cfg.Policy, Interfaces: cfg.interfaces(), Window: outbound.Window, Logger: cfg.Logger})
}

// listen is where the node listens. The addresses for the rendezvous and for the
// router are always among them; without others, and without an address for data, all
// of the host are.
func (cfg *Config) listen(gossip netip.Addr) []netip.AddrPort {
	list := slices.Clone(cfg.Listen)
	at, _ := cfg.rendezvous()
	for _, a := range []netip.AddrPort{at, cfg.Forward} {
		if a.IsValid() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	if len(list) == 0 && gossip.IsLoopback() {
		list = append(list, netip.AddrPortFrom(gossip, 0)) // a cluster within this host
	}
	return list
}

// interfaces keeps the node's connections off the interface whose traffic it carries.
func (cfg *Config) interfaces() []serval.InterfaceRule {
	device := config.DefaultDevice
	if cfg.Sections != nil && cfg.Sections.TUN != nil {
		device = cfg.Sections.TUN.Device
	}
	return []serval.InterfaceRule{{Name: device, Exclude: true}}
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
