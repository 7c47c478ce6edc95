package serval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/resolver/gossip"
)

// daemonTimeout bounds what a process waits for its host's servald at start.
const daemonTimeout = 5 * time.Second

// ConfigFromEnv makes a Config from the environment:
//
//	SERVAL_TOKEN     join token, or a file that holds one: this process joins
//	                 the cluster and its gossip itself
//	SERVAL_JOIN      gossip addresses, host:port with commas between, instead of
//	                 those in the token
//	SERVAL_SOCKET    control socket of the local servald
//	SERVAL_LISTEN    addresses for data, ip:port with commas between; port 0 for any
//	SERVAL_POLICY    how connections use their paths: see ParsePolicy
//	SERVAL_COST      what interfaces cost, such as "wwan*=10,usb0=never"
//	SERVAL_RENDEZVOUS
//	                 where ends of a connection that both moved meet, ip:port with
//	                 commas between, beside what the resolver knows
//	SERVAL_SERVICES  instances to know beside the others: see resolver.FromEnv
//
// Without a token, a servald that runs on this host is asked for a membership
// and used to find and register services. With neither, the node is a cluster
// of its own: it is never silently open to others.
func ConfigFromEnv() (Config, error) {
	var cfg Config
	cfg, err := cfg.fromEnv()
	if err != nil {
		cfg.release()
		return Config{}, fmt.Errorf("serval: %w", err)
	}
	return cfg, nil
}

func (c Config) fromEnv() (Config, error) {
	var err error
	if c.Listen, err = addrsFromEnv("SERVAL_LISTEN"); err != nil {
		return c, err
	}
	if c.Rendezvous, err = addrsFromEnv("SERVAL_RENDEZVOUS"); err != nil {
		return c, err
	}
	if token := os.Getenv("SERVAL_TOKEN"); token != "" {
		err = c.joinGossip(token)
	} else if path, ok := control.FindSocket(); ok && answers(path) {
		err = c.useDaemon(path)
	} else if path := os.Getenv("SERVAL_SOCKET"); path != "" {
		err = fmt.Errorf("no servald answers at SERVAL_SOCKET=%s; start one with servald run, or unset it", path)
	}
	if err != nil {
		return c, err
	}
	if err := c.pathsFromEnv(); err != nil {
		return c, err
	}
	c.ControlDir = nodectl.Dir(control.SocketPath())
	static, err := resolver.FromEnv()
	if err != nil || static == nil {
		return c, err
	}
	if c.Resolver == nil {
		c.Resolver = static
	} else {
		c.Resolver = resolver.Chain{static, c.Resolver}
	}
	return c, nil
}

// pathsFromEnv reads what concerns interfaces.
func (c *Config) pathsFromEnv() (err error) {
	if p := os.Getenv("SERVAL_POLICY"); p != "" {
		if c.Policy, err = ParsePolicy(p); err != nil {
			return fmt.Errorf("SERVAL_POLICY: %w", err)
		}
	}
	for _, item := range commas(os.Getenv("SERVAL_COST")) {
		name, cost, ok := strings.Cut(item, "=")
		r := InterfaceRule{Name: name, Exclude: cost == "never"}
		if !r.Exclude {
			if r.Cost, err = strconv.Atoi(cost); err != nil {
				ok = false
			}
		}
		if !ok {
			return fmt.Errorf("SERVAL_COST: %q is not a cost; write INTERFACE=NUMBER or INTERFACE=never, such as wwan0=10", item)
		}
		c.Interfaces = append(c.Interfaces, r)
	}
	return checkRules(c.Interfaces)
}

// answers reports whether somebody listens at a socket: a servald that was
// killed leaves its file behind.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, daemonTimeout)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// addrsFromEnv reads a list of addresses from a variable.
func addrsFromEnv(name string) (list []netip.AddrPort, err error) {
	for _, s := range commas(os.Getenv(name)) {
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not an address; write ip:port, such as 192.0.2.1:4000", name, s)
		}
		list = append(list, a)
	}
	return list, nil
}

// joinGossip makes c a member of the cluster of a token and of its gossip.
func (c *Config) joinGossip(text string) error {
	if !strings.HasPrefix(text, "serval1") {
		b, err := os.ReadFile(text)
		if err != nil {
			return fmt.Errorf("SERVAL_TOKEN is neither a token nor a file that can be read: %w", err)
		}
		text = string(b)
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		return fmt.Errorf("SERVAL_TOKEN: %w", err)
	}
	if c.Identity, err = token.Join(self(), time.Now()); err != nil {
		return fmt.Errorf("SERVAL_TOKEN: %w", err)
	}
	seeds := commas(os.Getenv("SERVAL_JOIN"))
	if len(seeds) == 0 {
		seeds = token.Seeds()
	}
	gc := gossip.Config{Identity: c.Identity, Seeds: seeds}
	if len(c.Listen) > 0 {
		gc.Bind = netip.AddrPortFrom(c.Listen[0].Addr(), 0)
	}
	g, err := gossip.New(gc)
	if err != nil {
		return err
	}
	c.Resolver, c.Registrar = g, g
	c.owned = append(c.owned, g)
	return nil
}

// useDaemon makes c a member of the local servald's cluster, and servald its
// resolver.
func (c *Config) useDaemon(path string) error {
	client := control.NewClient(path)
	client.HooksOff = os.Getenv(hook.OffVariable) == "off"
	c.owned = append(c.owned, client)
	ctx, cancel := context.WithTimeout(context.Background(), daemonTimeout)
	defer cancel()
	var err error
	c.Identity, err = identity.Request(self(), time.Now(), func(req []byte) ([]byte, error) {
		return client.Certify(ctx, req)
	})
	if err != nil {
		return fmt.Errorf("the servald at %s does not admit this process: %w", path, err)
	}
	c.Resolver, c.Registrar = client, client
	return nil
}

// self is how this process presents itself to others.
func self() identity.Member {
	name := filepath.Base(os.Args[0])
	return identity.Member{Name: name[:min(len(name), 32)]}
}

func commas(s string) (list []string) {
	for _, p := range strings.Split(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			list = append(list, p)
		}
	}
	return list
}

// release closes what fromEnv opened.
func (c *Config) release() error {
	var errs []error
	for _, o := range c.owned {
		errs = append(errs, o.Close())
	}
	c.owned = nil
	return errors.Join(errs...)
}

var _ io.Closer = (*gossip.Gossip)(nil)
