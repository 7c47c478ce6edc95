package sections

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/dns"
)

// names is the DNS server of all sections: made when the first needs it, with the
// virtual addresses.
type names struct {
	mu       sync.Mutex
	server   *dns.Server
	upstream []string // as configured
	closed   bool
}

// configure takes another list of servers for other names; none means those that the
// host has.
func (n *names) configure(c *config.DNS) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	if c != nil {
		list = c.Upstream
	}
	if slices.Equal(list, n.upstream) {
		return nil
	}
	n.upstream = list
	if n.server == nil {
		return nil
	}
	return n.server.SetUpstream(n.servers())
}

// servers is whom to ask for other names.
func (n *names) servers() []string {
	if len(n.upstream) > 0 {
		return n.upstream
	}
	list, err := hostServers()
	if err != nil {
		return nil // then such questions are refused
	}
	return list
}

// found takes the servers that the host has now, unless others are configured.
func (n *names) found(servers []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server == nil || len(n.upstream) > 0 {
		return nil
	}
	return n.server.SetUpstream(servers)
}

func (n *names) get(r *Runner) (*dns.Server, error) {
	pool, err := r.pool.get(r.env.Services)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errors.New("servald is stopping")
	}
	if n.server == nil {
		cfg := dns.Config{Pool: pool, Known: r.env.Node.Known, Hints: r.hints.of, Upstream: n.servers(), WithoutIPv6: !hasIPv6(), Logger: r.env.Log}
		if r.env.Services != nil {
			cfg.Below = dns.Parents(r.env.Services, r.env.Node)
		}
		if n.server, err = dns.New(cfg); err != nil {
			return nil, err
		}
	}
	return n.server, nil
}

func (n *names) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.server != nil {
		n.server.Close()
		n.server = nil
	}
}

// dns answers at one address.
func (r *Runner) dns(ctx context.Context, at netip.AddrPort) (component.Running, error) {
	server, err := r.names.get(r)
	if err != nil {
		return component.Running{}, err
	}
	ln, err := dns.Listen(ctx, at.String())
	if err != nil {
		return component.Running{}, err
	}
	running := component.Go(ln.Close, func(ctx context.Context) error { return server.Serve(ctx, ln) })
	running.Info = func() string { return dnsInfo(server) }
	return running, nil
}

// dnsInfo says whom a server asks for other names.
func dnsInfo(server *dns.Server) string {
	all, loops := server.Upstream()
	var by, out []string
	for _, at := range all {
		if slices.Contains(loops, at) {
			out = append(out, at.String())
		} else {
			by = append(by, at.String())
		}
	}
	text := "other names are refused"
	if len(by) > 0 {
		text = "other names by " + strings.Join(by, " ")
	}
	if len(out) > 0 {
		text += ", left out because they ask servald: " + strings.Join(out, " ")
	}
	return text
}
