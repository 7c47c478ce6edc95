// Package dns is servald's DNS server: it answers for the names of services, such as
// cart.shop.svc.serval, with their virtual addresses, and asks other servers for all
// other names.
//
// It is an authority for the zone "serval." and for the names of virtual addresses
// (PTR), and a forwarder for the rest; it keeps no cache. It follows RFC 1035, 2308
// (negative answers), 2782 (SRV), 6891 (EDNS), 7766 (TCP), 8482 (ANY), 8914 (extended
// errors) and 9460 (SVCB and HTTPS).
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// Defaults of a Config.
const (
	DefaultTTL     = 30 * time.Second
	DefaultTimeout = 2 * time.Second
	DefaultMax     = 1024
)

// Hints are what is known of how to speak with a service, beyond its address.
type Hints struct {
	// Port is the one that the service wants; 0 means that any will do. SRV records
	// say it.
	Port uint16

	// ALPN is what the service speaks inside TLS, such as "h2" and "http/1.1"; none
	// means that it speaks no TLS as far as is known. Only with it is there an HTTPS
	// record, because that makes browsers use TLS.
	ALPN []string

	// Addrs are real addresses, up to one of IPv4 and one of IPv6, for clients on
	// other hosts, to whom virtual ones lead nowhere: those at which this host
	// forwards to the service. None means the virtual ones for all.
	Addrs []netip.Addr
}

// Config describes a Server. Pool and Known are required.
type Config struct {
	// Pool gives services their addresses.
	Pool *vaddr.Pool

	// Known reports whether there is a service: serval.Node.Known. It must not start
	// anything.
	Known func(ctx context.Context, service sal.Name) (bool, error)

	// Below reports whether there are services under a name that itself is none,
	// such as svc:shop where only svc:shop/cart is: the name then exists without
	// records. Nil means that there are none. See Parents.
	Below func(ctx context.Context, service sal.Name) bool

	// Hints says more of a service; nil means that nothing is known.
	Hints func(service sal.Name) Hints

	// Upstream are the servers to ask for all other names, in this order, as
	// addresses with or without a port; 53 is the default. Without any, such
	// questions are refused.
	Upstream []string

	// Clients may ask for names that are forwarded; those elsewhere may ask for
	// services only, so that nobody can misuse an open resolver. Nil means loopback,
	// private, link-local and virtual addresses.
	Clients []netip.Prefix

	// WithoutIPv6 leaves out IPv6 addresses, where a host has none.
	WithoutIPv6 bool

	// TTL is how long others may keep answers for services; 0 means DefaultTTL. It
	// need not be short: addresses stay the same.
	TTL time.Duration

	// Timeout is how long one upstream server has to answer, and three times that
	// is what all of them have together; 0 means DefaultTimeout.
	Timeout time.Duration

	// Max bounds the questions that are worked on at a time, of which one client may
	// have half, and with a quarter of it the TCP connections; 0 means DefaultMax.
	// Further ones are dropped, so that the client asks again.
	Max int

	Logger *slog.Logger // nil discards
}

// Server answers DNS questions. All methods are safe for concurrent use.
type Server struct {
	cfg    Config
	log    *slog.Logger
	work   limits // of questions that are worked on
	afar   limits // of those for which others are asked
	grants grants
	rebind rate.Sometimes // how often warnings of this kind are logged
	full   rate.Sometimes

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu       sync.Mutex
	upstream []*upstream
	local    map[netip.AddrPort]int // where it listens
	closed   bool
	tasks    sync.WaitGroup
}

// New returns a server that does not listen yet. Close it in the end.
func New(cfg Config) (*Server, error) {
	if cfg.Pool == nil || cfg.Known == nil {
		return nil, errors.New("dns: Pool and Known are required")
	}
	if cfg.Clients == nil {
		cfg.Clients = nearby
	}
	if cfg.TTL <= 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Max <= 0 {
		cfg.Max = DefaultMax
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: cfg.Logger, local: make(map[netip.AddrPort]int),
		rebind: rate.Sometimes{First: 1, Interval: time.Minute}, full: rate.Sometimes{First: 1, Interval: time.Minute}}
	s.work.init(cfg.Max)
	s.afar.init(cfg.Max - cfg.Max/4) // the rest is for services, however slow others are
	s.grants.init(cfg.Pool)
	if err := s.SetUpstream(cfg.Upstream); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what the server does in the background. End Serve first.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.tasks.Wait()
	return nil
}

// nearby are the addresses of hosts that may be expected to be the user's own.
var nearby = prefixes("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// question is one, and who asks it.
type question struct {
	*dns.Msg
	dns.Question
	client netip.Addr // zero if it is a program of this host
	tcp    bool
}

// trusted reports whether the client may ask for any name.
func (s *Server) trusted(client netip.Addr) bool {
	if !client.IsValid() || s.cfg.Pool.Contains(client) {
		return true
	}
	client = client.Unmap().WithZone("")
	for _, p := range s.cfg.Clients {
		if p.Contains(client) {
			return true
		}
	}
	return false
}

// dropped notes that there was too much to do.
func (s *Server) dropped() {
	s.full.Do(func() {
		s.log.Warn("more DNS questions come than are worked on at a time; some are dropped", "most", s.cfg.Max)
	})
}

// ParseServers parses the addresses of upstream servers, see Config.Upstream, and leaves
// out those that are named twice.
func ParseServers(list []string) ([]netip.AddrPort, error) {
	if len(list) > maxUpstream {
		return nil, fmt.Errorf("%d DNS servers are given to forward to; choose at most %d", len(list), maxUpstream)
	}
	var all []netip.AddrPort
	for _, text := range list {
		at, err := parseServer(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all, nil
}

func parseServer(text string) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(text); err == nil && at.Port() != 0 {
		return at, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	return netip.AddrPort{}, fmt.Errorf("the DNS server %.80q is no IP address with or without a port; write one such as 192.0.2.53 or [2001:db8::53]:53", text)
}

// addrOf is the IP address and port of a UDP or TCP address.
func addrOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
