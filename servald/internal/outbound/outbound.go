// Package outbound connects programs that know nothing of Serval to services: every way
// out of a host (TUN, SOCKS5, HTTP, forwarded ports, captured connections) asks it.
//
// It applies what is set for a service's name (who may use it, by which paths, how long
// to wait), and keeps a client with one instance of a service while it has connections
// to it: programs such as iperf3 and ftp open several and mean the same server.
package outbound

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/fair"
	"github.com/serval-net/serval/servald/internal/splice"
)

// Defaults of Config.
const (
	DefaultTimeout  = 10 * time.Second
	DefaultPinFor   = 5 * time.Second
	DefaultMaxDials = 1024
	DefaultMaxPins  = 65536
)

// Window is serval.Config.Window for nodes that carry the connections of many programs,
// in bytes: so much may wait for a program that does not read. It is a quarter of the
// usual, and grows for programs that do.
const Window = 256 << 10

// Client is who asks. Its zero value is nobody in particular.
type Client struct {
	Via     string         // how it came: "tun", "socks5", "http", ...; for logs
	Addr    netip.AddrPort // its address
	Session string         // what it is pinned by; "" is by Addr without the port
}

// who is what a client is told from others by.
type who struct {
	session string
	addr    netip.Addr
}

func (c Client) who() who {
	if c.Session != "" {
		return who{session: c.Session}
	}
	return who{addr: c.Addr.Addr().Unmap()}
}

// Config describes an Outbound. Node is required.
type Config struct {
	Node *serval.Node

	// Rules says more for some names and clients. The first that fits counts.
	Rules []Rule
	// DenyOthers refuses what no rule fits.
	DenyOthers bool

	// NoPin lets each connection go to an instance chosen anew.
	NoPin bool
	// PinFor is how long a client is kept with its instance after its last connection
	// has ended. 0 is 5 s, but none for clients known only by an address of this host:
	// all its programs have that, and one after the other they should be balanced.
	PinFor time.Duration
	// MaxPins bounds the pairs of client and service that are remembered, about 200
	// bytes each; 0 is 65536. What comes beyond is not pinned.
	MaxPins int

	// Timeout bounds a dial; 0 is 10 s.
	Timeout time.Duration
	// MaxDials is how many dials are under way at once; 0 is 1024. Others wait, and no
	// client gets more than three quarters of it.
	MaxDials int

	// Log is told of connections, at debug level, and of failures, up to 10 in a second;
	// nil discards.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxPins <= 0 {
		c.MaxPins = DefaultMaxPins
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxDials <= 0 {
		c.MaxDials = DefaultMaxDials
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Outbound opens connections for clients. Make one with New; its methods are safe for
// concurrent use. It starts no goroutines and needs no closing but that of
// its node.
type Outbound struct {
	pins  pins
	dials *fair.Gate[who]
	local localAddrs
	pings pings

	failures splice.Failures

	mu  sync.RWMutex
	cfg Config
}

// New returns an Outbound.
func New(cfg Config) *Outbound {
	cfg = cfg.withDefaults()
	o := &Outbound{cfg: cfg, dials: fair.New[who](cfg.MaxDials)}
	o.pins.limit(cfg.MaxPins)
	return o
}

// Reconfigure replaces the configuration for all that is dialled from now on. What is
// open goes on, even where it would be refused now.
func (o *Outbound) Reconfigure(cfg Config) {
	cfg = cfg.withDefaults()
	o.mu.Lock()
	o.cfg = cfg
	o.mu.Unlock()
	o.dials.Resize(cfg.MaxDials)
	o.pins.limit(cfg.MaxPins)
}

func (o *Outbound) config() Config {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.cfg
}

// Stream opens a stream connection to an instance of a service, whose name may have any
// form that sal.ParseName takes. The port is what the client asked for, for those
// services that care; 0 is none. Failures satisfy IsNoService, IsRefused, IsTimeout,
// IsDenied or IsBusy where they are of that kind.
//
// The connection has the methods of *serval.Conn.
func (o *Outbound) Stream(ctx context.Context, c Client, service string, port uint16) (net.Conn, error) {
	conn, err := o.dial(ctx, c, "tcp", service, port)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// conn is a connection that holds its client's pin while it is open.
type conn struct {
	*serval.Conn
	once    sync.Once
	release func()
}

// Close is serval.Conn.Close.
func (c *conn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

// Abort is serval.Conn.Abort.
func (c *conn) Abort() error {
	c.once.Do(c.release)
	return c.Conn.Abort()
}

// failed logs why a client was not connected, unless it has left.
func (o *Outbound) failed(log *slog.Logger, err error) {
	if errors.Is(err, context.Canceled) {
		log.Debug("not connected", "err", err)
		return
	}
	o.failures.Warn(log, "not connected", "err", err)
}

// dial opens a connection under what is set for the name.
func (o *Outbound) dial(ctx context.Context, c Client, network, service string, port uint16) (*conn, error) {
	cfg := o.config()
	began := time.Now()
	name, err := sal.ParseName(service)
	if err != nil {
		o.failed(cfg.Log.With("via", c.Via, "client", c.Addr), err)
		return nil, err
	}
	opened, pinned, err := o.dialAs(ctx, cfg, c, network, name, port)
	log := cfg.Log.With("via", c.Via, "client", c.Addr, "service", name)
	if err != nil {
		o.failed(log, err)
		return nil, err
	}
	log.Debug("connected", "network", network, "port", port, "instance", opened.RemoteAddr(), "pinned", pinned, "took", time.Since(began))
	return opened, nil
}

func (o *Outbound) dialAs(ctx context.Context, cfg Config, c Client, network string, name sal.Name, port uint16) (_ *conn, pinned bool, err error) {
	rule, ok := cfg.rule(name, c)
	if !ok || rule.Deny {
		return nil, false, denied(name)
	}
	timeout := cfg.Timeout
	if rule.Timeout > 0 {
		timeout = rule.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	who := c.who()
	if err := o.dials.Enter(ctx, who); err != nil {
		return nil, false, err
	}
	defer o.dials.Leave(who)

	d := &serval.Dialer{Node: cfg.Node, Policy: rule.Policy, Port: port}
	if cfg.NoPin || rule.NoPin {
		made, err := dialAside(ctx, d, network, name)
		if err != nil {
			return nil, false, err
		}
		return &conn{Conn: made, release: func() {}}, false, nil
	}
	p, err := o.pins.hold(ctx, pinKey{who, name}, time.Now())
	if err != nil {
		return nil, false, err
	}
	d.Prefer = p.instance
	made, err := dialAside(ctx, d, network, name)
	if err != nil {
		p.release(time.Now(), 0)
		return nil, false, err
	}
	p.reached(made.RemoteAddr().(*serval.Addr))
	stay := cfg.PinFor
	if stay == 0 && !(c.Session == "" && o.local.has(who.addr)) {
		stay = DefaultPinFor
	}
	return &conn{Conn: made, release: func() { p.release(time.Now(), stay) }}, p.instance != nil, nil
}

// dialAside dials on a stack of its own, which goes with it: that of the caller, which
// may carry the connection for long, does not grow for the handshake.
func dialAside(ctx context.Context, d *serval.Dialer, network string, name sal.Name) (made *serval.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		made, err = d.DialConn(ctx, network, name.String())
	}()
	<-done
	return made, err
}
