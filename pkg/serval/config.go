package serval

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Defaults of [Config].
const (
	// DefaultDialTimeout bounds a Dial whose context has no deadline.
	DefaultDialTimeout = 10 * time.Second
	// DefaultTryNext is how long an instance may leave a SYN unanswered before
	// the dial asks another one as well.
	DefaultTryNext = 250 * time.Millisecond
	// DefaultPatience is how long a connection with unacknowledged data waits
	// for a silent peer.
	DefaultPatience = 10 * time.Minute
	// DefaultBacklog is how many connections a listener keeps for Accept.
	DefaultBacklog = 1024
	// DefaultMaxFlows is how many flows a connection may have.
	DefaultMaxFlows = 4
)

// Config describes a [Node]. The zero value is a node of its own: an ephemeral
// cluster that nobody else can join, sockets on every local address, services
// found among its own.
type Config struct {
	// Identity is who the node is and which cluster it belongs to. Nil makes
	// an ephemeral cluster of one.
	Identity *identity.Identity

	// Resolver finds instances of services; nil knows only what this node
	// serves. If it also implements resolver.Registrar, what the node listens
	// on is registered there, and withdrawn on Close.
	Resolver resolver.Resolver

	// Registrar overrides where listeners are registered.
	Registrar resolver.Registrar

	// Listen is the local addresses to use, port 0 for any. Empty means one
	// socket on every address of this host.
	Listen []netip.AddrPort

	// Advertise is what to register instead of the sockets' addresses (other
	// than loopback, if there are others), for nodes behind a NAT that maps
	// ports.
	Advertise []netip.AddrPort

	// Policy is how connections use their paths; the zero value aggregates all.
	Policy Policy

	// Interfaces sets what interfaces cost, and keeps connections off some.
	Interfaces []InterfaceRule

	// MaxFlows bounds the flows of one connection, 1 to 16; zero means 4.
	MaxFlows int

	// FlowsPerInterface is how many flows, each from a port of its own, a
	// connection may have on one address, for networks that limit each 5-tuple;
	// zero means 1.
	FlowsPerInterface int

	// Rendezvous is nodes where the two ends of a connection that both moved at
	// once find each other again. ServeRendezvous makes this node such a place.
	Rendezvous      []netip.AddrPort
	ServeRendezvous bool

	// Forward makes the node a service router: it sends first packets on by the
	// FORWARD rules of its service table, for whoever sends them. Otherwise they
	// are refused; the rules hold for what the node itself dials in any case.
	Forward bool

	// DialTimeout, TryNext, Patience, Backlog: zero means the defaults above.
	DialTimeout time.Duration
	TryNext     time.Duration
	Patience    time.Duration
	Backlog     int

	// Window is the receive credit a connection starts with and MaxWindow how
	// far it may grow, in bytes; zero means 1 MiB and 24 MiB.
	Window, MaxWindow int

	// ControlDir is a directory where the node opens a socket, for the servald
	// commands that show and steer connections; empty means none. ConfigFromEnv
	// sets the one in which they look.
	ControlDir string

	// Logger receives what an operator may want to know; nil discards it.
	Logger *slog.Logger

	// network replaces real sockets in tests.
	network underlay.Network
	// owned is closed with the node.
	owned []io.Closer
}

// check looks for what cannot be meant.
func (c *Config) check() error {
	if err := c.Policy.check(); err != nil {
		return err
	}
	if c.MaxFlows < 0 || c.MaxFlows > sal.MaxPathFlows {
		return fmt.Errorf("serval: Config.MaxFlows is %d; choose 1 to %d, or 0 for %d", c.MaxFlows, sal.MaxPathFlows, DefaultMaxFlows)
	}
	if c.FlowsPerInterface < 0 || c.FlowsPerInterface > sal.MaxPathFlows {
		return fmt.Errorf("serval: Config.FlowsPerInterface is %d; choose 1 to %d, or 0 for 1", c.FlowsPerInterface, sal.MaxPathFlows)
	}
	return checkRules(c.Interfaces)
}

func (c Config) withDefaults() Config {
	if c.MaxFlows == 0 {
		c.MaxFlows = DefaultMaxFlows
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = DefaultDialTimeout
	}
	if c.TryNext == 0 {
		c.TryNext = DefaultTryNext
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Backlog == 0 {
		c.Backlog = DefaultBacklog
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.network == nil {
		c.network = &underlay.UDP{Loopback: true}
	}
	if c.Registrar == nil {
		c.Registrar, _ = c.Resolver.(resolver.Registrar)
	}
	return c
}
