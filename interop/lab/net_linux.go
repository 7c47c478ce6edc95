package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
)

// Net is a set of hosts and the cables between them. Its methods are not safe
// for concurrent use.
type Net struct {
	hosts []*Host
	links int
	work  sync.WaitGroup // what runs by itself until Close
}

// New returns an empty network. Its error wraps ErrUnavailable where the machine
// lacks something.
func New() (*Net, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: it needs root (network namespaces)", ErrUnavailable)
	}
	n := &Net{}
	probe, err := n.Host("probe")
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	n.hosts = nil
	return n, probe.close()
}

// NeedIptables reports, as an error that wraps ErrUnavailable, that delay and
// loss cannot be emulated here.
func NeedIptables() error {
	if _, err := exec.LookPath("iptables"); err != nil {
		return fmt.Errorf("%w: iptables is missing (run interop/setup.sh)", ErrUnavailable)
	}
	return nil
}

// Close ends the processes started on the hosts and removes the network.
func (n *Net) Close() error {
	var errs []error
	for _, h := range n.hosts {
		h.cancel()
	}
	n.work.Wait()
	for _, h := range n.hosts {
		errs = append(errs, h.close())
	}
	n.hosts = nil
	return errors.Join(errs...)
}

// Connect lays a cable, MTU 1500, between two hosts and gives its ends the
// addresses of a fresh 10.0.x.0/24.
func (n *Net) Connect(a, b *Host) (*Iface, *Iface, error) {
	n.links++
	name := fmt.Sprintf("eth%d", n.links)
	left, right, err := cable(a, name, b, name, n.links)
	if err != nil {
		return nil, nil, fmt.Errorf("lab: connect %s and %s: %w", a.Name, b.Name, err)
	}
	for host, i := range []*Iface{left, right} {
		addr := netip.AddrFrom4([4]byte{10, byte(n.links >> 8), byte(n.links), byte(host + 1)})
		i.config.addrs = []netip.Prefix{netip.PrefixFrom(addr, 24)}
	}
	return left, right, errors.Join(left.apply(), right.apply())
}

// ipPrefix is the inverse of ipNet.
func ipPrefix(n *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, ones)
}
