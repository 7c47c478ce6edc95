package peer

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// service is what the servers serve.
const service = "svc:bench"

// servalNode is serval with default settings. The server's address is told to the
// client by a static resolver; everything else is as for any user.
type servalNode struct {
	once sync.Once
	node *serval.Node // the client's
	err  error
}

func (s *servalNode) Listen(addr netip.AddrPort) (net.Listener, error) {
	node, err := join(serval.Config{Listen: []netip.AddrPort{addr}})
	if err != nil {
		return nil, err
	}
	return node.Listen(service)
}

func (s *servalNode) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	s.once.Do(func() {
		name, err := sal.ParseName(service)
		if err != nil {
			s.err = err
			return
		}
		instance := resolver.Instance{Service: name, Addrs: []netip.AddrPort{addr}}
		s.node, s.err = join(serval.Config{Resolver: resolver.NewStatic(instance)})
	})
	if s.err != nil {
		return nil, s.err
	}
	return s.node.DialContext(ctx, "serval", service)
}

// join starts a node of the shared cluster.
func join(config serval.Config) (node *serval.Node, err error) {
	if config.Identity, err = cluster.Member(); err != nil {
		return nil, err
	}
	return serval.NewNode(config)
}
