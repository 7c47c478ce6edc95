package serval

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/netstack"
	"github.com/serval-net/serval/pkg/flowtable"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// Node is one stack: an identity, its sockets, a flow table, a service table
// and the connections that live on them. All methods are safe for concurrent
// use.
//
// Goroutines: one reader per socket, a few openers that answer SYNs, netstack's
// constant number, one per listener, and timers of connections while they fire. Close waits for
// all of them.
type Node struct {
	cfg   Config
	id    *identity.Identity
	log   *slog.Logger
	epoch time.Time
	seed  uint64

	sockets   sockets
	flows     flowtable.Table[entry]
	services  servicetable.Table[target]
	rules     rules
	waker     waker
	stack     *netstack.Stack
	responder *handshake.Responder
	openers   openers
	router    router
	health    health
	refusals  refusals
	gone      gone
	routes    routes
	pairs     pairs
	movers    movers
	events    events
	finder    finder
	meeting   meeting // set when the node is a rendezvous
	unwatch   func()
	control   io.Closer // its control socket, or nil
	resets    limiter
	reports   limiter
	stats     counters

	wg sync.WaitGroup // timers and ends of connections

	quit chan struct{} // closed when the node is

	mu        sync.Mutex
	listeners map[sal.Name]*Listener
	links     map[*link]struct{}
	byToken   map[[16]byte]*link // by what the peer would reset it with
	closing   bool               // Close has begun: it serves nothing new
	closed    bool               // and takes no connections
}

// target is where a rule of the service table sends a first packet: to a
// listener here or to addresses elsewhere.
type target struct {
	listener *Listener
	addrs    []netip.AddrPort
	memo     *hopMemo                           // how to get there; may be nil
	learnt   *atomic.Pointer[resolver.Instance] // whose rule it is, if a resolver told of it
	rule     *rule                              // that was added by hand, or nil
}

// entry is what the flow table holds: one of an established connection, a dial
// that waits for its SYN-ACK, or a half-open connection on the server's side.
type entry struct {
	link *link
	dial *dialing
	half *halfOpen
}

// NewNode starts a node. Close it when done.
func NewNode(cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	n := &Node{cfg: cfg, id: cfg.Identity, log: cfg.Logger, epoch: time.Now(), quit: make(chan struct{}),
		listeners: make(map[sal.Name]*Listener), links: make(map[*link]struct{}), byToken: make(map[[16]byte]*link)}
	if n.id == nil {
		id, _, err := identity.Ephemeral(time.Now())
		if err != nil {
			return nil, fmt.Errorf("serval: cannot make an ephemeral identity: %w", err)
		}
		n.id = id
	}
	var seed [8]byte
	rand.Read(seed[:])
	n.seed = binary.NativeEndian.Uint64(seed[:])
	n.responder = handshake.NewResponder(handshake.Config{Identity: n.id})
	n.health.init()
	n.router.init()
	n.waker.init()
	var err error
	if n.stack, err = netstack.New(netstack.Config{}); err != nil {
		return nil, fmt.Errorf("serval: cannot start the TCP stack: %w", err)
	}
	n.openers.start(n)
	if err := n.sockets.open(n); err != nil {
		n.openers.stop()
		n.stack.Close()
		return nil, err
	}
	if err := n.watch(); err != nil {
		n.openers.stop()
		n.sockets.close()
		n.stack.Close()
		return nil, err
	}
	n.serveControl()
	if cfg.ServeRendezvous {
		n.announce()
	}
	return n, nil
}

// ID returns the node's identifier.
func (n *Node) ID() identity.NodeID { return n.id.Node() }

// Identity returns who the node is.
func (n *Node) Identity() identity.Peer { return n.id.Peer() }

// now reads the node's clock; it is never zero.
func (n *Node) now() flow.Time { return flow.Time(time.Since(n.epoch)) + 1 }

// closeTimeout bounds how long Close lets connections finish what was written.
const closeTimeout = 3 * time.Second

// Close withdraws what the node serves, lets connections that were closed
// finish sending (for at most 3 seconds), resets the others, and releases
// everything. It returns when no goroutine of the node is left.
func (n *Node) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return n.end(ctx, (*Listener).Close)
}

// Shutdown is Close that lets the connections to what the node serves come to
// their end first, as Listener.Drain does, until ctx ends.
func (n *Node) Shutdown(ctx context.Context) error {
	return n.end(ctx, func(l *Listener) error {
		l.Drain(ctx, nil) // its error is that ctx ended
		return l.Close()
	})
}

func (n *Node) end(ctx context.Context, retire func(*Listener) error) error {
	n.mu.Lock()
	if n.closing {
		n.mu.Unlock()
		return nil
	}
	n.closing = true
	n.mu.Unlock()
	n.router.upward.close(ctx)
	var retiring sync.WaitGroup
	for _, l := range n.Listeners() {
		retiring.Go(func() { retire(l) })
	}
	retiring.Wait()
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	close(n.quit)
	n.drain(ctx)
	for _, l := range n.allLinks() {
		l.abort(flowset.ResetShutdown, "the peer's node is shutting down")
	}
	if n.control != nil {
		n.control.Close()
	}
	n.endRules()
	n.waker.close()
	n.unwatch()
	n.finder.close()
	n.openers.stop()
	n.sockets.close()
	n.events.close()
	n.wg.Wait()
	n.stack.Close()
	return n.cfg.release()
}

// drain waits until every connection has delivered what was written to it.
func (n *Node) drain(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		busy := false
		for _, l := range n.allLinks() {
			busy = busy || !l.drained()
		}
		if !busy {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) allLinks() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*link, 0, len(n.links))
	for l := range n.links {
		all = append(all, l)
	}
	return all
}

// addLink enters a connection in the node's books.
func (n *Node) addLink(l *link) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errNodeClosed
	}
	n.links[l] = struct{}{}
	n.byToken[l.token] = l
	return nil
}

func (n *Node) removeLink(l *link) {
	n.mu.Lock()
	delete(n.links, l)
	delete(n.byToken, l.token)
	n.mu.Unlock()
}
