package lab

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// Iface is one end of a cable.
type Iface struct {
	host *Host
	name string
	link netlink.Link
	addr netip.Addr
	rate int64 // bits per second, once limited
}

// Addr returns the interface's address.
func (i *Iface) Addr() netip.Addr { return i.addr }

// Limit bounds what leaves the interface to rate bits per second, with a
// drop-tail queue of the given length in time.
func (i *Iface) Limit(rate int64, queue time.Duration) error {
	bytesPerSecond := uint64(rate / 8)
	// The bucket carries full rate though a busy machine runs the qdisc only
	// every 4 ms, a kernel tick.
	burst := uint32(max(bytesPerSecond/250, 16<<10))
	err := i.host.nl.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: i.link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       bytesPerSecond,
		Limit:      burst + uint32(min(float64(bytesPerSecond)*queue.Seconds(), math.MaxInt32)),
		Buffer:     netlink.Xmittime(bytesPerSecond, burst),
	})
	if err != nil {
		return fmt.Errorf("lab: limit %s of %s: %w", i.name, i.host.Name, err)
	}
	i.rate = rate
	return nil
}

// Backlog returns how long a packet would wait in the queue of a limited
// interface now.
func (i *Iface) Backlog() (time.Duration, error) {
	qdiscs, err := i.host.nl.QdiscList(i.link)
	if err != nil {
		return 0, fmt.Errorf("lab: queue of %s of %s: %w", i.name, i.host.Name, err)
	}
	for _, q := range qdiscs {
		if s := q.Attrs().Statistics; q.Type() == "tbf" && s != nil && s.Queue != nil && i.rate > 0 {
			return time.Duration(float64(s.Queue.Backlog) * 8 / float64(i.rate) * float64(time.Second)), nil
		}
	}
	return 0, fmt.Errorf("lab: %s of %s has no limit", i.name, i.host.Name)
}

// PerPacket makes every packet that leaves the interface one of at most an MTU:
// segmentation-offload bursts are cut up before, as a network card would do.
func (i *Iface) PerPacket() error {
	if err := i.host.nl.LinkSetGSOMaxSegs(i.link, 1); err != nil {
		return fmt.Errorf("lab: segment on %s of %s: %w", i.name, i.host.Name, err)
	}
	return nil
}

// Lose drops each packet that arrives at the interface with probability p. It
// costs less than emu's loss, but sees an offload burst as one packet: see
// PerPacket, for the other end of the cable.
func (i *Iface) Lose(p float64) error {
	return i.host.Run("iptables", "-w", "-t", "raw", "-A", "PREROUTING", "-i", i.name,
		"-m", "statistic", "--mode", "random", "--probability", fmt.Sprintf("%f", p), "-j", "DROP")
}

// cable makes a pair of interfaces, one on each host.
func cable(a, b *Host, id int) (*Iface, *Iface, error) {
	name := fmt.Sprintf("eth%d", id)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Namespace = name, 1500, netlink.NsFd(a.ns)
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace, veth.PeerMTU = name, netlink.NsFd(b.ns), 1500
	if err := a.nl.LinkAdd(veth); err != nil {
		return nil, nil, err
	}
	near, far := &Iface{host: a, name: name}, &Iface{host: b, name: name}
	for _, i := range []*Iface{near, far} {
		link, err := i.host.nl.LinkByName(name)
		if err != nil {
			return nil, nil, err
		}
		i.link = link
	}
	return near, far, nil
}

// up gives the interface an address and enables it.
func (i *Iface) up(p netip.Prefix) error {
	i.addr = p.Addr()
	mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: mask}}
	if err := i.host.nl.AddrAdd(i.link, addr); err != nil {
		return err
	}
	return i.host.nl.LinkSetUp(i.link)
}
