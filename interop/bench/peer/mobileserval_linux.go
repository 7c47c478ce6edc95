package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// mobileServal is serval with default settings. The
// server's addresses are told to the client by a static resolver; everything
// else is as for any user.
type mobileServal struct {
	node *serval.Node // the client's
}

// Listen serves on all addresses of the host, whatever addr says; it comes first
// among those returned.
func (s *mobileServal) Listen(addr netip.AddrPort) (net.Listener, []netip.AddrPort, error) {
	var told addrBook
	node, err := join(serval.Config{Registrar: &told})
	if err != nil {
		return nil, nil, err
	}
	l, err := node.Listen(service)
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(told.addrs, func(a, b netip.AddrPort) int {
		return rank(a, addr) - rank(b, addr)
	})
	return servalListener{l}, told.addrs, nil
}

func rank(a, first netip.AddrPort) int {
	if a.Addr() == first.Addr() {
		return 0
	}
	return 1
}

func (s *mobileServal) Dial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	if s.node == nil {
		name, err := sal.ParseName(service)
		if err != nil {
			return nil, err
		}
		instance := resolver.Instance{Service: name, Addrs: addrs}
		s.node, err = join(serval.Config{Resolver: resolver.NewStatic(instance)})
		if err != nil {
			return nil, err
		}
	}
	conn, err := s.node.DialConn(ctx, "serval", service)
	if err != nil {
		return nil, err
	}
	return servalConn{conn}, nil
}

// addrBook is a registrar that only remembers where the node is registered.
type addrBook struct{ addrs []netip.AddrPort }

func (b *addrBook) Register(_ context.Context, r resolver.Registration) (resolver.Lease, error) {
	b.addrs = slices.Clone(r.Addrs)
	return lease{}, nil
}

type lease struct{}

func (lease) Close(context.Context) error { return nil }

type servalListener struct{ *serval.Listener }

func (l servalListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return servalConn{conn}, nil
}

// servalConn is a connection that the harness can move and ask.
type servalConn struct{ *serval.Conn }

var (
	_ traffic.Detailer = servalConn{}
)

func (c servalConn) Detail() string {
	b, err := json.Marshal(c.Stats())
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}
