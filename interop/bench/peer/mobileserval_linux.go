package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// RendezvousSystem is the name of a serval node that serves as a rendezvous, for
// the third host of a network.
const RendezvousSystem = "serval-rendezvous"

// RendezvousVariable names the environment variable with the addresses of
// rendezvous, with commas between, for the processes of both ends.
const RendezvousVariable = "BENCH_SERVAL_RENDEZVOUS"

// mobileServal is serval with default settings but for the path policy. The
// server's addresses are told to the client by a static resolver; everything
// else is as for any user.
type mobileServal struct {
	policy     serval.Policy
	rendezvous bool

	mu   sync.Mutex
	node *serval.Node // the client's, one for all connections
}

// Listen serves on all addresses of the host, whatever addr says; it comes first
// among those returned.
func (s *mobileServal) Listen(addr netip.AddrPort) (net.Listener, []netip.AddrPort, error) {
	var told cluster.AddrBook
	config, err := s.config()
	if err != nil {
		return nil, nil, err
	}
	config.Registrar = &told
	if s.rendezvous {
		// Its address is known before, to both ends.
		config.ServeRendezvous = true
		config.Listen = []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port()),
			netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port()),
		}
	}
	node, err := join(config)
	if err != nil {
		return nil, nil, err
	}
	l, err := node.Listen(service)
	if err != nil {
		return nil, nil, err
	}
	addrs := told.Addrs()
	slices.SortStableFunc(addrs, func(a, b netip.AddrPort) int {
		return rank(a, addr) - rank(b, addr)
	})
	return servalListener{l}, addrs, nil
}

func rank(a, first netip.AddrPort) int {
	if a.Addr() == first.Addr() {
		return 0
	}
	return 1
}

func (s *mobileServal) Dial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	node, err := s.dialler(addrs)
	if err != nil {
		return nil, err
	}
	conn, err := node.DialConn(ctx, "serval", service)
	if err != nil {
		return nil, err
	}
	return servalConn{conn}, nil
}

// dialler returns the node that dials a server at the addresses.
func (s *mobileServal) dialler(addrs []netip.AddrPort) (*serval.Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != nil {
		return s.node, nil
	}
	name, err := sal.ParseName(service)
	if err != nil {
		return nil, err
	}
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	config.Resolver = resolver.NewStatic(resolver.Instance{Service: name, Addrs: addrs})
	s.node, err = join(config)
	return s.node, err
}

// config is what both ends have in common.
func (s *mobileServal) config() (serval.Config, error) {
	config := serval.Config{Policy: s.policy}
	for _, text := range strings.Split(os.Getenv(RendezvousVariable), ",") {
		if text == "" {
			continue
		}
		addr, err := netip.ParseAddrPort(text)
		if err != nil {
			return config, fmt.Errorf("%s: %w", RendezvousVariable, err)
		}
		config.Rendezvous = append(config.Rendezvous, addr)
	}
	return config, nil
}

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
	_ traffic.Mover    = servalConn{}
)

func (c servalConn) Move(ctx context.Context, iface string) error {
	return c.Migrate(ctx, serval.MigrateTo{Flow: serval.AllFlows, Interface: iface})
}

func (c servalConn) Detail() string {
	b, err := json.Marshal(c.Stats())
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}
