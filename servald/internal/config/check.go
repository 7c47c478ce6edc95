package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/servald/internal/capture"
	"github.com/serval-net/serval/servald/internal/dns"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// Defaults.
const (
	DefaultDrain     = 10 * time.Second
	DefaultMTU       = 65520
	DefaultDevice    = "serval0"
	DefaultSOCKS5    = "localhost:1080"
	DefaultHTTPProxy = "localhost:3128"
)

// Bounds of [tun] mtu: what IPv6 needs, and what an IPv4 packet can have.
const (
	minMTU = 1280
	maxMTU = 65535
)

// Check puts defaults where nothing is said and returns all that is wrong.
func (c *Config) Check() error {
	c.Node.Drain.Duration = c.Node.Drain.Or(DefaultDrain)
	if !c.Addresses.IPv4.IsValid() {
		c.Addresses.IPv4 = vaddr.DefaultPrefix4
	}
	errs := []error{c.Addresses.check(), c.Clients.check()}
	add := func(section string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", section, err))
		}
	}
	if c.DNS != nil {
		add("[dns]", c.DNS.check())
	}
	if c.TUN != nil {
		add("[tun]", c.TUN.check())
	}
	if c.SOCKS5 != nil {
		add("[socks5]", checkProxy(&c.SOCKS5.Listen, DefaultSOCKS5, c.SOCKS5.Users, c.SOCKS5.Clients, c.SOCKS5.Foreign, c.SOCKS5.Max))
	}
	if c.HTTPProxy != nil {
		add("[http_proxy]", checkProxy(&c.HTTPProxy.Listen, DefaultHTTPProxy, c.HTTPProxy.Users, c.HTTPProxy.Clients, c.HTTPProxy.Foreign, c.HTTPProxy.Max))
	}
	for i := range c.Expose {
		add(nth("expose", i, c.Expose[i].Name.String()), c.Expose[i].check())
	}
	for i := range c.Forward {
		add(nth("forward", i, c.Forward[i].Listen.String()), c.Forward[i].check())
	}
	for i := range c.Capture {
		add(nth("capture", i, c.Capture[i].Name.String()), c.Capture[i].check())
	}
	for i := range c.Name {
		add(nth("name", i, c.Name[i].Match.String()), c.Name[i].check())
	}
	return errors.Join(append(errs, c.conflicts())...)
}

// nth names one of the sections of a kind.
func nth(kind string, i int, what string) string {
	if what = strings.TrimPrefix(what, ":"); what == "" {
		return fmt.Sprintf("[[%s]] number %d", kind, i+1)
	}
	return fmt.Sprintf("[[%s]] number %d (%s)", kind, i+1, what)
}

// conflicts finds sections that want the same.
func (c *Config) conflicts() error {
	var errs []error
	taken := make(map[Listen]string)
	listens := func(section string, l Listen) {
		if l == (Listen{}) {
			return
		}
		if other, ok := taken[l]; ok {
			errs = append(errs, fmt.Errorf("%s and %s both listen at %s", other, section, l))
		}
		taken[l] = section
	}
	for i, f := range c.Forward {
		listens(fmt.Sprintf("[[forward]] number %d", i+1), f.Listen)
	}
	if c.SOCKS5 != nil {
		for _, l := range c.SOCKS5.Listen {
			listens("[socks5]", l)
		}
	}
	if c.HTTPProxy != nil {
		for _, l := range c.HTTPProxy.Listen {
			listens("[http_proxy]", l)
		}
	}
	captured := make(map[string]int)
	for i, s := range c.Capture {
		traffic := fmt.Sprint(s.Mode, s.From, s.To, s.Ports, s.Users)
		if first, ok := captured[traffic]; ok {
			errs = append(errs, fmt.Errorf("[[capture]] number %d and number %d capture the same; leave one out", first, i+1))
			continue
		}
		captured[traffic] = i + 1
	}
	exposed := make(map[string]int)
	for i, e := range c.Expose {
		if e.Name.IsZero() {
			continue
		}
		if first, ok := exposed[e.Name.String()]; ok {
			errs = append(errs, fmt.Errorf("[[expose]] number %d and number %d are both %s; this host is one instance of a name", first, i+1, e.Name))
			continue
		}
		exposed[e.Name.String()] = i + 1
	}
	return errors.Join(errs...)
}

func (a *Addresses) check() error {
	err := vaddr.CheckPrefix4(a.IPv4)
	if err == nil {
		err = checkRanges([]netip.Prefix{a.IPv4})
	}
	if err != nil {
		return fmt.Errorf("[addresses]: ipv4: %w", err)
	}
	return nil
}

func (c *Clients) check() error {
	if c.MaxDials < 0 {
		return errors.New("[clients]: max_dials must not be less than 0")
	}
	return nil
}

// ResolvConfModes are the values of [dns] resolv_conf.
var ResolvConfModes = []string{"auto", "file", "resolved", "off"}

func (d *DNS) check() error {
	if d.ResolvConf == "" {
		d.ResolvConf = "off"
	}
	if !slices.Contains(ResolvConfModes, d.ResolvConf) {
		return fmt.Errorf("resolv_conf is one of %s, not %q", strings.Join(ResolvConfModes, ", "), d.ResolvConf)
	}
	if len(d.Listen) == 0 {
		d.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}
	}
	for _, l := range d.Listen {
		if l.Port() == 0 {
			return fmt.Errorf("listen %v has no port; programs ask at 53", l)
		}
	}
	if _, err := dns.ParseServers(d.Upstream); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	return nil
}

func (t *TUN) check() error {
	if t.Device == "" {
		t.Device = DefaultDevice
	}
	if t.MTU == 0 {
		t.MTU = DefaultMTU
	}
	switch {
	case len(t.Device) > 15 || strings.ContainsAny(t.Device, "/ \t\n"):
		return fmt.Errorf("device %q is no name of an interface, which has up to 15 letters", t.Device)
	case t.MTU < minMTU || t.MTU > maxMTU:
		return fmt.Errorf("mtu %d is not in %d to %d", t.MTU, minMTU, maxMTU)
	case t.Max < 0:
		return errors.New("max must not be less than 0")
	}
	return nil
}

// checkProxy checks what SOCKS5 and HTTP proxies have in common. A proxy to
// everywhere, for everybody, is refused: it would be found and misused.
func checkProxy(listen *[]Listen, standard string, users map[string]string, clients []netip.Prefix, foreign outbound.Foreign, limit int) error {
	if len(*listen) == 0 {
		*listen = []Listen{{"tcp", standard}}
	}
	for name, password := range users {
		if name == "" || password == "" || len(name) > 255 || len(password) > 255 || strings.Contains(name, ":") {
			return fmt.Errorf("user %q: names and passwords have 1 to 255 bytes, and names no colon", name)
		}
	}
	for _, l := range *listen {
		if l.Network == "udp" {
			return fmt.Errorf("listen %s: a proxy listens at a TCP address, and takes UDP ports as it needs them", l)
		}
		if foreign != outbound.ForeignNone && len(users) == 0 && len(clients) == 0 && !l.local() {
			return fmt.Errorf("with foreign = %q and neither users nor clients, a proxy at %s would be open to everybody; name some, or listen on localhost only", foreign, l)
		}
	}
	if err := checkRanges(clients); err != nil {
		return err
	}
	if limit < 0 {
		return errors.New("max must not be less than 0")
	}
	return nil
}

// local reports whether only this host can reach an address.
func (l Listen) local() bool {
	if l.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (e *Expose) check() error {
	switch {
	case e.Name.IsZero():
		return errors.New(`it has no name; write name = "svc:web", for example`)
	case e.Name.IsWildcard():
		return fmt.Errorf("%s is not one service; write a name without *", e.Name)
	}
	return e.Options(0).Validate()
}

func (f *Forward) check() error {
	switch {
	case f.Listen == (Listen{}):
		return errors.New(`it does not say where; write listen = "localhost:8080", for example`)
	case f.Name.IsZero():
		return errors.New(`it does not say to what; write name = "svc:web", for example`)
	case f.Name.IsWildcard():
		return fmt.Errorf("%s is not one service; write a name without *", f.Name)
	case f.Max < 0:
		return errors.New("max must not be less than 0")
	}
	return checkRanges(f.Clients)
}

func (c *Capture) check() error {
	if c.Mode == "" {
		c.Mode = "redirect"
	}
	if c.From == "" {
		c.From = "host"
	}
	switch {
	case c.Mode != "redirect" && c.Mode != "tproxy":
		return fmt.Errorf("mode is redirect or tproxy, not %q", c.Mode)
	case c.From != "host" && c.From != "clients" && c.From != "both":
		return fmt.Errorf("from is host, clients or both, not %q", c.From)
	case c.Name.IsWildcard():
		return fmt.Errorf("%s is not one service; write a name without *, or none for what the address stands for", c.Name)
	case !c.Name.IsZero() && len(c.To) == 0:
		return fmt.Errorf("it does not say which traffic is meant for %s; write to = [\"192.0.2.80/32\"], for example", c.Name)
	case c.Max < 0:
		return errors.New("max must not be less than 0")
	case c.From == "clients" && len(c.Users) > 0:
		return errors.New("users are those of this host; traffic of clients has none")
	}
	for _, p := range c.To {
		if err := capture.CheckPrefix(p); err != nil {
			return err
		}
		virtual := p.Overlaps(vaddr.Prefix6) || p.Overlaps(vaddr.DefaultPrefix4)
		if !virtual && len(c.Ports) == 0 {
			return fmt.Errorf("%v are real addresses, where hosts of Serval may be; write which ports are meant, such as ports = [80, 443], so that their own traffic is left alone", p)
		}
	}
	return checkRanges(c.To)
}

func (r *Rule) check() error {
	if r.Match.IsZero() {
		return errors.New(`it does not say which names; write match = "svc:shop/*", for example`)
	}
	if err := r.checkDNS(); err != nil {
		return err
	}
	return checkRanges(r.Clients)
}

func (r *Rule) checkDNS() error {
	for _, p := range r.ALPN {
		if p == "" || len(p) > 255 {
			return fmt.Errorf(`alpn %q is no protocol; write alpn = ["h2", "http/1.1"], for example`, p)
		}
	}
	families := make(map[bool]bool)
	for _, a := range r.Addresses {
		if families[a.Is4()] || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("addresses has %v; write one IPv4 address and one IPv6 address of a host, at most", a)
		}
		families[a.Is4()] = true
	}
	return nil
}

func checkRanges(list []netip.Prefix) error {
	for _, p := range list {
		if p != p.Masked() {
			return fmt.Errorf("%v is not a range; write %v", p, p.Masked())
		}
	}
	return nil
}
