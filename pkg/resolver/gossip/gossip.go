// Package gossip spreads registrations between the nodes of a cluster.
//
// Records travel in two ways: as broadcasts, which reach everybody within a few
// rounds of gossip, and in the full exchanges that two nodes make when one joins
// and now and then after. All of it is encrypted with a key of the cluster, and
// each record is verified before it is believed or passed on.
//
// When the host's address changes, the gossip moves there: it begins another
// membership, with the same records, and joins through the members it knew.
//
// Gossip knows of candidates and is not the judge of who is alive: what becomes
// of a SYN decides that. A node that gossip believes dead only comes last.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/serval-net/serval/internal/due"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Config describes a Gossip. Only Identity is required.
type Config struct {
	// Identity is the node and the cluster it gossips in.
	Identity *identity.Identity

	// Bind is the address for gossip, UDP and TCP; port 0 takes a free one. The
	// zero value binds to the address from which the first seed is reached, or
	// to loopback if there is none. While the host does not have the address, or
	// routing prefers another if Bind is zero, it binds to the one that routing
	// prefers.
	Bind netip.AddrPort

	// Advertise is what to tell others instead of Bind, behind a NAT. If Bind has
	// no particular address, zero means the one that the default route has.
	Advertise netip.AddrPort

	// Seeds are addresses, host:port, of nodes to join. While this node knows no
	// other, it keeps trying them.
	Seeds []string

	// Limits bound the records of the whole cluster that this node holds; zero
	// fields mean the directory's defaults. All nodes of a cluster should have
	// room for all. Nodes that meet exchange their records, at most 16 MiB, some
	// 35,000: more reach a node only as they are renewed.
	Limits resolver.Limits

	// Logger gets what may interest an operator; nil discards it.
	Logger *slog.Logger

	// open opens a transport, for tests; nil means sockets, and to follow the
	// host's addresses.
	open func(bind, advertise netip.AddrPort, conf *memberlist.Config) (*transport, error)
}

// Gossip is one node's part in the gossip. All methods are safe for concurrent
// use.
type Gossip struct {
	*resolver.Directory
	id     *identity.Identity
	cfg    Config
	log    *slog.Logger
	now    atomic.Pointer[membership]
	queue  memberlist.TransmitLimitedQueue
	joined chan struct{} // closed after the first attempt to join
	again  chan struct{} // time to join again

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	leases map[sal.Name]*lease
	due    *due.Queue[*lease] // by when they must be renewed
	recent []told
	wake   chan struct{} // leases have changed

	moving sync.Mutex // held while the membership changes; before mu
	known  []string   // addresses of members, as known before the last move

	lost   lost
	warned atomic.Int64 // when last of a clock, ns since 1970
}

// New starts to gossip. It returns before it has joined: Resolve waits for that,
// and Joined tells.
func New(cfg Config) (*Gossip, error) {
	if cfg.Identity == nil {
		return nil, errors.New("gossip: no identity; set Config.Identity")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gossip{
		Directory: resolver.NewDirectory(cfg.Identity.Cluster()),
		id:        cfg.Identity,
		cfg:       cfg,
		log:       cfg.Logger,
		joined:    make(chan struct{}),
		again:     make(chan struct{}, 1),
		ctx:       ctx,
		cancel:    cancel,
		leases:    make(map[sal.Name]*lease),
		due:       due.New(func(l *lease) *int { return &l.place }),
		wake:      make(chan struct{}, 1),
	}
	g.SetLimits(cfg.Limits)
	if err := g.start(); err != nil {
		cancel()
		return nil, fmt.Errorf("gossip: %w", err)
	}
	g.done.Go(g.join)
	g.done.Go(g.seek)
	g.done.Go(g.renew)
	return g, nil
}

// start begins the first membership.
func (g *Gossip) start() error {
	g.queue.NumNodes = func() int { return g.member().size() }
	g.queue.RetransmitMult = retransmit
	g.now.Store(&membership{g: g}) // for what memberlist says while it begins
	follow := g.cfg.open == nil
	if follow {
		g.cfg.open = listen
	}
	bind, advertise := g.cfg.Bind, g.cfg.Advertise
	switch {
	case !bind.IsValid():
		bind = netip.AddrPortFrom(sourceFor(g.cfg.Seeds, loopback), 0)
	case bind.Addr().IsUnspecified() && !advertise.IsValid():
		advertise = netip.AddrPortFrom(sourceFor(slices.Concat(g.cfg.Seeds, anywhere), loopback), 0)
	}
	m, err := g.begin(bind, advertise)
	if err != nil {
		return err
	}
	g.now.Store(m)
	if follow {
		g.done.Go(g.follow)
	}
	return nil
}

func (g *Gossip) member() *membership { return g.now.Load() }

// Close withdraws what this node has registered, leaves the cluster and waits
// for all goroutines, except that memberlist may finish a last probe, for a
// second or so, of which nothing comes. It always returns nil.
func (g *Gossip) Close() error {
	g.mu.Lock()
	closed := g.ctx.Err() != nil
	g.cancel()
	leases := slices.Collect(maps.Values(g.leases))
	g.mu.Unlock()
	if !closed {
		for _, l := range leases {
			l.Close(context.Background())
		}
		g.moving.Lock() // and from now on g.move does nothing
		g.member().end(farewell)
		g.moving.Unlock()
	}
	g.done.Wait()
	return nil
}

// farewell is how long a node that closes, or has moved, gossips on where it was,
// so that others hear of it.
const farewell = 150 * time.Millisecond

// Addr returns the address that other nodes can use as a seed. It changes when
// this host moves.
func (g *Gossip) Addr() netip.AddrPort { return g.member().addr() }

// Joined is closed once the seeds have been tried for the first time.
func (g *Gossip) Joined() <-chan struct{} { return g.joined }

// Member is a node that takes part in the gossip.
type Member struct {
	Node identity.NodeID
	Addr netip.AddrPort // of its gossip
}

// Members returns the nodes that are believed alive, this one included.
func (g *Gossip) Members() (all []Member) {
	for _, n := range g.member().latest() {
		all = append(all, Member{nodeOf(n), addrOf(n)})
	}
	return all
}

// Resolve implements resolver.Resolver. If it knows no instance, it waits for
// the first attempt to join to end.
func (g *Gossip) Resolve(ctx context.Context, service sal.Name) ([]resolver.Instance, error) {
	found, err := g.Directory.Resolve(ctx, service)
	if err == nil {
		return found, nil
	}
	select {
	case <-g.joined:
	case <-g.ctx.Done():
	case <-ctx.Done():
		return nil, fmt.Errorf("gossip: still joining the cluster through %v: %w", g.cfg.Seeds, context.Cause(ctx))
	}
	return g.Directory.Resolve(ctx, service)
}

// Publish implements resolver.Publisher.
func (g *Gossip) Publish(_ context.Context, record []byte) error {
	if g.ctx.Err() != nil {
		return errClosed
	}
	r, err := g.receive(record)
	if r != nil && !r.Renews() {
		g.tell(r)
	}
	return err
}

var errClosed = errors.New("gossip: closed; make a new one")
