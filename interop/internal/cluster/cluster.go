// Package cluster lets a program and the processes that it starts be one serval
// cluster, that ends with them.
package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

// tokenVariable names the environment variable with the join token that all
// processes share.
const tokenVariable = "INTEROP_SERVAL_TOKEN"

// Share makes the processes that this one starts members of a new cluster.
func Share() error {
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		return err
	}
	return os.Setenv(tokenVariable, token.String())
}

// Member returns a new identity in the shared cluster.
func Member() (*identity.Identity, error) {
	token, err := identity.ParseToken(os.Getenv(tokenVariable))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokenVariable, err)
	}
	return token.Join(identity.Member{}, time.Now())
}

// AddrBook is a registrar that only remembers where the node said first that it is.
type AddrBook struct {
	once  sync.Once
	addrs []netip.AddrPort
}

// Register notes the addresses.
func (b *AddrBook) Register(_ context.Context, r resolver.Registration) (resolver.Lease, error) {
	b.once.Do(func() { b.addrs = slices.Clone(r.Addrs) })
	return lease{}, nil
}

// Addrs returns the addresses, once the node has registered.
func (b *AddrBook) Addrs() []netip.AddrPort { return b.addrs }

type lease struct{}

func (lease) Close(context.Context) error { return nil }
