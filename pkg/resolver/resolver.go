// Package resolver finds the instances of a service, and makes them known.
//
// A [Resolver] turns a name into candidates. They are hints: whoever dials
// them learns which are alive, and may say so through [Feedback]. A [Registrar]
// makes an instance known for as long as a [Lease] is kept. What it spreads is
// a [Record], signed by the instance's node, so that neither resolvers nor the
// way between them need be trusted.
//
// Static reads instances from a file or the environment, [Directory] holds
// records in memory; package gossip spreads them between nodes, and package
// control speaks with the local daemon. [Chain] and [Cache] combine resolvers.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// Resolver finds instances of services. Implementations are safe for concurrent
// use.
type Resolver interface {
	// Resolve returns the instances to try for a service, best first. If there
	// are none, it returns an error that is ErrNoService.
	Resolve(ctx context.Context, service sal.Name) ([]Instance, error)
}

// Instance is one listener of a service on one node.
type Instance struct {
	// Service is the name it is registered for: the one resolved or a wildcard
	// that covers it.
	Service sal.Name

	// Node is the node it runs on; zero if the resolver does not know, as one
	// that reads a file.
	Node identity.NodeID

	// Addrs is where the node listens, best first.
	Addrs []netip.AddrPort

	// Weight is its share among instances of one priority; 0 means 1. Larger
	// priorities come first.
	Weight   int
	Priority int

	// Version orders what is known of one instance: the larger is the later.
	Version uint64

	// Expires is when it is no longer known; zero means never.
	Expires time.Time
}

// Lister is a Resolver that can tell all it knows.
type Lister interface {
	// Services returns all instances of all services, without the nodes' own
	// records.
	Services(ctx context.Context) ([]Instance, error)
}

// Feedback is a Resolver that wants to know how instances fare.
type Feedback interface {
	// Report says whether the instance answered. One that did not comes last
	// for a while, but does not disappear.
	Report(in Instance, ok bool)
}

// Registrar makes instances known. Implementations are safe for concurrent use.
type Registrar interface {
	// Register makes an instance known until the lease is closed.
	Register(ctx context.Context, reg Registration) (Lease, error)
}

// Lease keeps an instance known: it is renewed in the background.
type Lease interface {
	// Close withdraws the instance, for all to see at once rather than after
	// its TTL.
	Close(ctx context.Context) error
}

// Updater is a Lease whose addresses can be changed: those of this module's
// registrars are.
type Updater interface {
	// Update announces the instance anew, for all to see at once, with other
	// addresses, best first; 1 to MaxAddrs. After an error that is not about the
	// addresses, the background renewal goes on to try.
	Update(ctx context.Context, addrs []netip.AddrPort) error
}

// Publisher spreads records that others have signed.
type Publisher interface {
	// Publish verifies a record and spreads it. A record that is known already,
	// or older than what is known, is no error.
	Publish(ctx context.Context, record []byte) error
}

// DefaultTTL is how long an instance that is not renewed stays known.
const DefaultTTL = 60 * time.Second

// Limits of a Registration.
const (
	MinTTL   = time.Second
	MaxTTL   = time.Hour
	MaxAddrs = 16
)

// Registration is what there is to know of an instance.
type Registration struct {
	Service  sal.Name
	Identity *identity.Identity // of the node, which signs it
	Addrs    []netip.AddrPort   // where it listens, best first; 1 to MaxAddrs

	Weight   int // 0 to 65535; 0 means 1
	Priority int // -32768 to 32767

	// TTL is how long it stays known if it is not renewed, in which case it is
	// renewed three times in it; 0 means DefaultTTL.
	TTL time.Duration
}

// RenewEvery returns how often a registration is renewed.
func (r Registration) RenewEvery() time.Duration { return r.ttl() / 3 }

func (r Registration) ttl() time.Duration {
	if r.TTL == 0 {
		return DefaultTTL
	}
	return r.TTL
}

func (r Registration) check() error {
	switch {
	case r.Service.IsZero():
		return errors.New("resolver: a registration names no service; set Service")
	case r.Identity == nil:
		return fmt.Errorf("resolver: the registration of %v has no identity to sign it; set Identity", r.Service)
	case len(r.Addrs) == 0 || len(r.Addrs) > MaxAddrs:
		return fmt.Errorf("resolver: the registration of %v has %d addresses; give 1 to %d", r.Service, len(r.Addrs), MaxAddrs)
	case r.Weight < 0 || r.Weight > 65535:
		return fmt.Errorf("resolver: the registration of %v has the weight %d; choose 1 to 65535", r.Service, r.Weight)
	case r.Priority < -32768 || r.Priority > 32767:
		return fmt.Errorf("resolver: the registration of %v has the priority %d; choose -32768 to 32767", r.Service, r.Priority)
	case r.ttl() < MinTTL || r.ttl() > MaxTTL:
		return fmt.Errorf("resolver: the registration of %v has a TTL of %v; choose %v to %v", r.Service, r.TTL, MinTTL, MaxTTL)
	}
	for _, a := range r.Addrs {
		if err := checkAddr(a); err != nil {
			return fmt.Errorf("resolver: the registration of %v: %w", r.Service, err)
		}
	}
	return nil
}

// checkAddr accepts addresses that mean something to another node.
func checkAddr(a netip.AddrPort) error {
	if !a.IsValid() || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() || a.Addr().Zone() != "" {
		return fmt.Errorf("nobody can reach the address %v; give a unicast address without zone, and a port", a)
	}
	return nil
}

// ErrNoService is what the errors of resolvers are that know no instance.
var ErrNoService = errors.New("no such service")

// NoServiceError says that nobody serves a service. It is ErrNoService.
type NoServiceError struct {
	Service sal.Name
}

func (e *NoServiceError) Error() string {
	return fmt.Sprintf("no such service: nobody serves %v; check the name, and that a server for it runs in the same cluster", e.Service)
}

// Is reports whether target is ErrNoService.
func (e *NoServiceError) Is(target error) bool { return target == ErrNoService }
