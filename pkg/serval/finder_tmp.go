package serval

import (
	"context"
	"net/netip"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

type updater interface {
	Update(ctx context.Context, addrs []netip.AddrPort) error
}

func registerNode(context.Context, resolver.Registrar, *identity.Identity, []netip.AddrPort) (resolver.Lease, error) {
	return nil, nil
}

func lookupNode(context.Context, resolver.Resolver, identity.NodeID) ([]netip.AddrPort, error) {
	return nil, resolver.ErrNoService
}
