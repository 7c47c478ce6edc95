package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
)

// Net is a set of hosts and the cables between them. Its methods are not safe
// for concurrent use.
type Net struct {
	hosts []*Host
	links int
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
		errs = append(errs, h.close())
	}
	n.hosts = nil
	return errors.Join(errs...)
}

// Connect lays a cable, MTU 1500, between two hosts and gives its ends the
// addresses of a fresh 10.x.y.0/24.
func (n *Net) Connect(a, b *Host) (*Iface, *Iface, error) {
	n.links++
	subnet := [4]byte{10, byte(n.links >> 8), byte(n.links), 1}
	near := netip.PrefixFrom(netip.AddrFrom4(subnet), 24)
	subnet[3] = 2
	far := netip.PrefixFrom(netip.AddrFrom4(subnet), 24)
	left, right, err := cable(a, b, n.links)
	if err != nil {
		return nil, nil, fmt.Errorf("lab: connect %s and %s: %w", a.Name, b.Name, err)
	}
	if err := errors.Join(left.up(near), right.up(far)); err != nil {
		return nil, nil, fmt.Errorf("lab: connect %s and %s: %w", a.Name, b.Name, err)
	}
	return left, right, nil
}
