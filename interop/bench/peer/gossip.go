package peer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/serval"
)

// GossipSystem is the name of serval with discovery by gossip, for cases with
// several instances.
const GossipSystem = "serval-gossip"

// SeedVariable names the environment variable with the gossip address that
// processes of GossipSystem join.
const SeedVariable = "BENCH_SERVAL_SEED"

// GossipAddr returns where the node with its server at addr gossips.
func GossipAddr(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr(), addr.Port()+1000)
}

// gossipNode is serval with discovery by gossip.
type gossipNode struct {
	once   sync.Once
	gossip *gossip.Gossip
	node   *serval.Node
	err    error
}

func (g *gossipNode) Listen(addr netip.AddrPort) (net.Listener, error) {
	g.start(gossip.Config{Bind: GossipAddr(addr)}, serval.Config{Listen: []netip.AddrPort{addr}})
	if g.err != nil {
		return nil, g.err
	}
	return g.node.Listen(service)
}

func (g *gossipNode) Dial(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	g.once.Do(func() { g.start(gossip.Config{}, serval.Config{}) })
	if g.err != nil {
		return nil, g.err
	}
	return g.node.DialContext(ctx, "serval", service)
}

func (g *gossipNode) start(discovery gossip.Config, config serval.Config) {
	id, err := cluster.Member()
	if err != nil {
		g.err = err
		return
	}
	discovery.Identity = id
	discovery.Seeds = []string{os.Getenv(SeedVariable)}
	if g.gossip, g.err = gossip.New(discovery); g.err != nil {
		return
	}
	config.Identity, config.Resolver = id, g.gossip
	g.node, g.err = serval.NewNode(config)
}

// Close withdraws what is served, then leaves the cluster.
func (g *gossipNode) Close() error {
	return errors.Join(g.node.Close(), g.gossip.Close())
}
