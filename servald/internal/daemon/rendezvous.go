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

// listen is where the node listens: the addresses for the rendezvous and for the
// router, and those for data, where any port of an address that is there already is
// that one. Without any of them all addresses of the host are.
func (cfg *Config) listen(gossip netip.Addr) []netip.AddrPort {
	var list []netip.AddrPort
	at, _ := cfg.rendezvous()
	for _, a := range slices.Concat([]netip.AddrPort{at, cfg.Forward}, cfg.Listen) {
		there := func(o netip.AddrPort) bool { return o == a || a.Port() == 0 && o.Addr() == a.Addr() }
		if a.IsValid() && !slices.ContainsFunc(list, there) {
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
