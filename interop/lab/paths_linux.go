package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/serval-net/serval/interop/emu"
)

// Paths is a network of several paths, as a Topology describes it. The methods
// of its parts may be called from any goroutine, but not two at once on one Way.
type Paths struct {
	*Net
	Client, Server *Host
	Third          *Host // nil without
	Ways           []*Way

	// ServerAddrs are the server's loopback addresses, with Topology.ServerLo,
	// and ThirdAddrs the third host's.
	ServerAddrs, ThirdAddrs []netip.Addr

	topology Topology
}

// Way is one path of Paths.
type Way struct {
	Name   string // "a", "b", ...
	Router *Host
	// Client, Server and Third are the hosts' interfaces here at the start, nil
	// where a host has none.
	Client, Server, Third *Iface

	net      *Paths
	number   int // from 1
	path     Path
	up, down *emu.Emulator
	nat      NAT
	rebinds  int

	mu    sync.Mutex
	ports []*Iface // the router's ends of cables
}

// The names of a router's ports, by who is at the other end of the cable.
const (
	portClient = "client"
	portServer = "server"
	portThird  = "third"
)

// Path returns how the path is now.
func (w *Way) Path() Path {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.path
}

// NewPaths builds the network. Packets are never longer than the MTU, 1500, so
// that each of them is lost, delayed or overtaken on its own.
func NewPaths(t Topology) (*Paths, error) {
	if err := NeedIptables(); err != nil {
		return nil, err
	}
	if t.Family != IPv4 && !haveIPv6() {
		return nil, fmt.Errorf("%w: the kernel has no IPv6", ErrUnavailable)
	}
	if len(t.Paths) == 0 || len(t.Paths) > 26 {
		return nil, fmt.Errorf("lab: %d paths; want 1 to 26", len(t.Paths))
	}
	t.Joined = t.Joined || t.Metrics
	t.Third = t.Third || t.Joined
	n, err := New()
	if err != nil {
		return nil, err
	}
	p := &Paths{Net: n, topology: t}
	if err := p.build(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return p, nil
}

func (p *Paths) build() (err error) {
	t := &p.topology
	if p.Client, err = p.member("client"); err != nil {
		return err
	}
	if p.Server, err = p.member("server"); err != nil {
		return err
	}
	if t.Third {
		if p.Third, err = p.member("third"); err != nil {
			return err
		}
		if p.ThirdAddrs, err = p.single(p.Third, 3); err != nil {
			return err
		}
	}
	if t.Joined {
		if err := p.Third.Forward(); err != nil {
			return err
		}
	}
	if t.ServerLo {
		if p.ServerAddrs, err = p.single(p.Server, 1); err != nil {
			return err
		}
	}
	p.links = len(t.Paths) // their cables; Connect's come after
	for i, path := range t.Paths {
		w := &Way{Name: string(rune('a' + i)), net: p, number: i + 1}
		p.Ways = append(p.Ways, w)
		if err := w.build(); err != nil {
			return fmt.Errorf("path %s: %w", w.Name, err)
		}
		if err := w.SetPath(path); err != nil {
			return fmt.Errorf("path %s: %w", w.Name, err)
		}
		if path.NAT != NoNAT {
			if err := w.SetNAT(path.NAT); err != nil {
				return fmt.Errorf("path %s: %w", w.Name, err)
			}
		}
	}
	return nil
}

// member adds a host that neither drops packets for the way they came nor waits
// before it uses an address.
func (p *Paths) member(name string) (*Host, error) {
	h, err := p.Host(name)
	if err != nil {
		return nil, err
	}
	err = errors.Join(h.Sysctl("ipv4.conf.all.rp_filter", "0"), h.Sysctl("ipv4.conf.default.rp_filter", "0"))
	if haveIPv6() {
		// The probe interval is how long Linux avoids a router that did not answer
		// once, by default a minute.
		for _, name := range []string{"accept_dad", "accept_ra", "router_solicitations", "router_probe_interval"} {
			err = errors.Join(err, h.Sysctl("ipv6.conf.default."+name, "0"))
		}
	}
	return h, err
}

// single gives a host addresses on its loopback interface.
func (p *Paths) single(h *Host, host byte) (addrs []netip.Addr, err error) {
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	v4 := netip.AddrFrom4([4]byte{10, 0, 0, host})
	v6 := netip.AddrFrom16([16]byte{0: 0xfd, 15: host})
	for _, a := range of(p.topology.Family, netip.PrefixFrom(v4, 32), netip.PrefixFrom(v6, 128)) {
		if err := h.nl.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
			return nil, fmt.Errorf("lab: address %v for %s: %w", a, h.Name, err)
		}
		addrs = append(addrs, a.Addr())
	}
	return addrs, nil
}

func (w *Way) build() (err error) {
	t := &w.net.topology
	if w.Router, err = w.net.member("router " + w.Name); err != nil {
		return err
	}
	if err := w.Router.Forward(); err != nil {
		return err
	}
	if t.Client == nil || slices.Contains(t.Client, w.number-1) {
		if w.Client, err = w.plug(w.net.Client, portClient); err != nil {
			return err
		}
	}
	if t.Server == nil || slices.Contains(t.Server, w.number-1) {
		if w.Server, err = w.plug(w.net.Server, portServer); err != nil {
			return err
		}
		if err := w.routeTo(w.net.ServerAddrs, w.Server); err != nil {
			return err
		}
	}
	if t.Third {
		if w.Third, err = w.plug(w.net.Third, portThird); err != nil {
			return err
		}
		if err := w.routeTo(w.net.ThirdAddrs, w.Third); err != nil {
			return err
		}
	}
	return w.emulate()
}

// plug lays a cable from a host to a port of the router and configures both ends.
func (w *Way) plug(h *Host, port string) (*Iface, error) {
	near, far, err := cable(h, fmt.Sprintf("eth%d", w.number), w.Router, port, w.number)
	if err != nil {
		return nil, err
	}
	near.way, near.port, near.hostPart = w, port, 2
	near.config, far.config = w.configs(port, 2, 0)
	w.ports = append(w.ports, far)
	return near, errors.Join(far.tune(), near.tune(), far.apply(), near.apply())
}

// configs returns the configurations of both ends of a cable to one of the
// router's ports: host is the last part of the near address, and subnet counts
// the networks that were there before, of which there may be 24.
func (w *Way) configs(port string, host, subnet byte) (near, far config) {
	t := &w.net.topology
	side := map[string]byte{portClient: 1, portServer: 2, portThird: 3}[port] + 10*subnet
	at := func(host byte) []netip.Prefix {
		v4 := netip.AddrFrom4([4]byte{10, byte(w.number), side, host})
		v6 := netip.AddrFrom16([16]byte{0: 0xfd, 3: byte(w.number), 5: side, 15: host})
		return of(t.Family, netip.PrefixFrom(v4, 24), netip.PrefixFrom(v6, 64))
	}
	near.addrs, far.addrs = at(host), at(1)
	for _, p := range far.addrs {
		near.gateways = append(near.gateways, p.Addr())
		if port == portThird && t.Joined {
			// The routers' way to all else is the third host.
			far.gateways = append(far.gateways, at(host)[len(far.gateways)].Addr())
			far.metric = 1
		}
	}
	if !t.Metrics || port == portThird {
		v4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w.number)}), 16)
		v6 := netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 3: byte(w.number)}), 32)
		near.beyond = of(t.Family, v4, v6)
	}
	if port != portThird {
		near.metric = 100 * w.number
		if !t.Metrics {
			near.table = 100 + w.number
		}
	}
	return near, far
}

// routeTo makes the router send what is for a host's single addresses to its
// interface here.
func (w *Way) routeTo(addrs []netip.Addr, i *Iface) error {
	if len(addrs) == 0 {
		return nil
	}
	far := i.far
	far.mu.Lock()
	defer far.mu.Unlock()
	for _, a := range addrs {
		far.config.beyond = append(far.config.beyond, netip.PrefixFrom(a, a.BitLen()))
	}
	if len(far.config.gateways) == 0 {
		for _, p := range i.config.addrs {
			far.config.gateways = append(far.config.gateways, p.Addr())
		}
	}
	return far.apply()
}

// emulate puts an emulator into the router for each direction.
func (w *Way) emulate() (err error) {
	if w.down, err = w.Router.emulator(emu.Config{}); err != nil {
		return err
	}
	if w.up, err = w.Router.emulator(emu.Config{}); err != nil {
		return err
	}
	return w.Router.tables(w.net.topology.Family, "*filter\n"+
		":"+guardChain+" -\n"+ // what a NAT does not let in
		"-A FORWARD -j "+guardChain+"\n"+
		"-A FORWARD -o "+portClient+" -j NFQUEUE --queue-num 0\n"+
		"-A FORWARD -i "+portClient+" -j NFQUEUE --queue-num 1\n"+
		"COMMIT\n")
}

// SetPath changes what the path does to packets, from the next one on, but for
// its NAT.
func (w *Way) SetPath(p Path) error {
	jitter := min(p.Jitter, p.RTT/2)
	down := emu.Config{Delay: p.RTT / 2, Jitter: jitter, Reorder: p.Reorder, Duplicate: p.Duplicate, Loss: p.Loss, Seed: uint64(w.number)}
	up := down
	up.Loss, up.Seed = p.LossUp, down.Seed+100
	if err := errors.Join(w.down.Set(down), w.up.Set(up)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.ports {
		if err := i.Limit(p.Rate, p.Queue); err != nil {
			return err
		}
	}
	w.path = p
	return nil
}

// Queued returns how long a packet to the client, or to the server, would wait
// in the path's queue now; 0 without a rate.
func (w *Way) Queued() (toClient, toServer time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.ports {
		switch wait, _ := i.Backlog(); i.Name() {
		case portClient:
			toClient = wait
		case portServer:
			toServer = wait
		}
	}
	return toClient, toServer
}
