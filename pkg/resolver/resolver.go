// Package resolver finds the instances of a service, and makes them known.
//
// A [Resolver] turns a name into candidates. They are hints: whoever dials
// them learns which are alive, and may say so through [Feedback]. [Choice.Order]
// puts them in the order to ask them in, and says why. A [Registrar]
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
	"slices"
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

	// Load is how busy it said it is: 0 is idle, 1 all that it can take.
	Load float64

	// Balance is how it wishes diallers to choose.
	Balance Balance

	// Keys are the parts of the service's key space that it owns; none means
	// that it answers for every key.
	Keys []sal.KeyPrefix

	// Rule says that it is not registered: a rule of the host's servald names it.
	Rule bool

	// Suspect says that it did not answer others lately, as the resolver heard.
	Suspect bool

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

// Updater is a Lease whose registration can be changed: those of this module's
// registrars are.
type Updater interface {
	// Update announces the instance anew, for all to see at once, after change
	// has altered what it likes in the registration but Service, Identity and
	// TTL. It must replace slices, not write to them, and is called once. An
	// invalid registration is an error and changes nothing; after any other
	// error the background renewal goes on to try.
	Update(ctx context.Context, change func(*Registration)) error
}

// Publisher spreads records that others have signed.
type Publisher interface {
	// Publish verifies a record and spreads it. A record that is known already,
	// or older than what is known, is no error.
	Publish(ctx context.Context, record []byte) error
}

// At returns a change for Updater.Update: to other addresses, best first.
func At(addrs ...netip.AddrPort) func(*Registration) {
	addrs = slices.Clone(addrs)
	return func(r *Registration) { r.Addrs = addrs }
}

// DefaultTTL is how long an instance that is not renewed stays known.
const DefaultTTL = 60 * time.Second

// Limits of a Registration.
const (
	MinTTL   = time.Second
	MaxTTL   = time.Hour
	MaxAddrs = 16
	MaxKeys  = 32
	MaxLoad  = 65.535
)

// Registration is what there is to know of an instance.
type Registration struct {
	Service  sal.Name
	Identity *identity.Identity // of the node, which signs it
	Addrs    []netip.AddrPort   // where it listens, best first; 1 to MaxAddrs

	Weight   int // 0 to 65535; 0 means 1
	Priority int // -32768 to 32767

	Load    float64         // 0 to MaxLoad; 1 is all that the instance can take
	Balance Balance         // how diallers should choose
	Keys    []sal.KeyPrefix // the parts of the key space it owns; none means all

	// TTL is how long it stays known if it is not renewed, in which case it is
	// renewed three times in it; 0 means DefaultTTL.
	TTL time.Duration
}

// Changed returns the registration after change, with its service, identity and
// TTL as they were.
func (r Registration) Changed(change func(*Registration)) Registration {
	out := r
	change(&out)
	out.Service, out.Identity, out.TTL = r.Service, r.Identity, r.TTL
	return out
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
	case !(r.Load >= 0 && r.Load <= MaxLoad):
		return fmt.Errorf("resolver: the registration of %v has the load %v; choose 0 to %v", r.Service, r.Load, MaxLoad)
	case int(r.Balance) >= len(balances):
		return fmt.Errorf("resolver: the registration of %v has an unknown %v", r.Service, r.Balance)
	case len(r.Keys) > MaxKeys || r.Service.IsWildcard() && len(r.Keys) > 0:
		return fmt.Errorf("resolver: the registration of %v has %d key prefixes; give at most %d, and none to a wildcard", r.Service, len(r.Keys), MaxKeys)
	case r.ttl() < MinTTL || r.ttl() > MaxTTL:
		return fmt.Errorf("resolver: the registration of %v has a TTL of %v; choose %v to %v", r.Service, r.TTL, MinTTL, MaxTTL)
	}
	for _, k := range r.Keys {
		if !k.Valid() {
			return fmt.Errorf("resolver: the registration of %v has the key prefix %v, with bits set beyond its length", r.Service, k)
		}
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

// ErrRefused is what the errors of resolvers are where a rule refuses dials of a
// service.
var ErrRefused = errors.New("refused")

// ReasonError is ErrNoService or ErrRefused, with more to say of why.
type ReasonError struct {
	Kind error
	Text string
}

func (e *ReasonError) Error() string { return e.Text }
func (e *ReasonError) Unwrap() error { return e.Kind }

// NoServiceError says that nobody serves a service. It is ErrNoService.
type NoServiceError struct {
	Service sal.Name
}

func (e *NoServiceError) Error() string {
	return fmt.Sprintf("no such service: nobody serves %v; check the name, and that a server for it runs in the same cluster", e.Service)
}

// Is reports whether target is ErrNoService.
func (e *NoServiceError) Is(target error) bool { return target == ErrNoService }

// DelayedError says that nobody serves a service yet, but that a hook, which would run
// for a dial, may change that. Resolvers return it to who asks with WithoutHooks. It
// is ErrNoService.
type DelayedError struct {
	Service sal.Name
}

func (e *DelayedError) Error() string {
	return fmt.Sprintf("no such service yet: nobody serves %v until a dial runs the hook that starts it", e.Service)
}

// Is reports whether target is ErrNoService.
func (e *DelayedError) Is(target error) bool { return target == ErrNoService }
