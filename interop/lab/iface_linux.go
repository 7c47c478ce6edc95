package lab

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Iface is one end of a cable. Its methods may be called from any goroutine.
type Iface struct {
	host *Host
	far  *Iface // the other end of the cable

	mu     sync.Mutex
	name   string
	link   netlink.Link
	config config
	rate   int64 // bits per second, once limited
	down   bool  // by LinkDown
	bare   bool  // without addresses, by AddrRemove

	// Of a host's interface at a Way.
	way      *Way
	port     string
	hostPart byte // of its addresses
	subnet   byte // counts renumberings
}

// Name returns what the host calls the interface.
func (i *Iface) Name() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.name
}

// Addr returns the interface's address, the IPv4 one if it has both kinds.
func (i *Iface) Addr() netip.Addr { return i.Addrs()[0] }

// Addrs returns the interface's addresses, IPv4 first, whether or not they are
// taken away for the moment.
func (i *Iface) Addrs() []netip.Addr {
	i.mu.Lock()
	defer i.mu.Unlock()
	var addrs []netip.Addr
	for _, p := range i.config.addrs {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// Counters counts what an interface has carried since it was made, in bytes of
// frames, headers included.
type Counters struct {
	Received, Sent uint64
}

// Counters reads the interface's counters.
func (i *Iface) Counters() (Counters, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	link, err := i.host.nl.LinkByIndex(i.link.Attrs().Index)
	if err != nil {
		return Counters{}, fmt.Errorf("lab: counters of %s of %s: %w", i.name, i.host.Name, err)
	}
	s := link.Attrs().Statistics
	return Counters{Received: s.RxBytes, Sent: s.TxBytes}, nil
}

// Limit bounds what leaves the interface to rate bits per second, with a
// drop-tail queue of the given length in time. A rate of 0 lifts the limit.
func (i *Iface) Limit(rate int64, queue time.Duration) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	attrs := netlink.QdiscAttrs{LinkIndex: i.link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}
	if rate == 0 {
		if i.rate == 0 {
			return nil
		}
		i.rate = 0
		return i.explain("unlimit", i.host.nl.QdiscDel(&netlink.Tbf{QdiscAttrs: attrs}))
	}
	bytesPerSecond := uint64(rate / 8)
	// The bucket carries full rate though a busy machine runs the qdisc only
	// every 4 ms, a kernel tick.
	burst := uint32(max(bytesPerSecond/250, 16<<10))
	err := i.host.nl.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: attrs,
		Rate:       bytesPerSecond,
		Limit:      burst + uint32(min(float64(bytesPerSecond)*queue.Seconds(), math.MaxInt32)),
		Buffer:     netlink.Xmittime(bytesPerSecond, burst),
	})
	if err == nil {
		i.rate = rate
	}
	return i.explain("limit", err)
}

// Backlog returns how long a packet would wait in the queue of a limited
// interface now.
func (i *Iface) Backlog() (time.Duration, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	qdiscs, err := i.host.nl.QdiscList(i.link)
	if err != nil {
		return 0, i.explain("queue of", err)
	}
	for _, q := range qdiscs {
		if s := q.Attrs().Statistics; q.Type() == "tbf" && s != nil && s.Queue != nil && i.rate > 0 {
			return time.Duration(float64(s.Queue.Backlog) * 8 / float64(i.rate) * float64(time.Second)), nil
		}
	}
	return 0, fmt.Errorf("lab: %s of %s has no limit", i.name, i.host.Name)
}

// tune makes the interface send packets one by one and find its neighbours fast:
// a question that is lost while a cable comes alive is otherwise repeated after a
// second only.
func (i *Iface) tune() error {
	err := errors.Join(
		i.explain("segment on", i.host.nl.LinkSetGSOMaxSegs(i.link, 1)),
		i.host.Sysctl("ipv4.neigh."+i.name+".retrans_time_ms", "20"))
	if err == nil && haveIPv6() {
		err = i.host.Sysctl("ipv6.neigh."+i.name+".retrans_time_ms", "20")
	}
	return err
}

// PerPacket makes every packet that leaves the interface one of at most an MTU:
// segmentation-offload bursts are cut up before, as a network card would do.
func (i *Iface) PerPacket() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.explain("segment on", i.host.nl.LinkSetGSOMaxSegs(i.link, 1))
}

// Lose drops each packet that arrives at the interface with probability p. It
// costs less than emu's loss, but sees an offload burst as one packet: see
// PerPacket, for the other end of the cable.
func (i *Iface) Lose(p float64) error {
	return i.host.Run("iptables", "-w", "-t", "raw", "-A", "PREROUTING", "-i", i.Name(),
		"-m", "statistic", "--mode", "random", "--probability", fmt.Sprintf("%f", p), "-j", "DROP")
}

// explain says which interface an error is about.
func (i *Iface) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lab: %s %s of %s: %w", what, i.name, i.host.Name, err)
}

// nearIndex is where the numbers of near ends start, far above those that the
// kernel gives to far ends.
const nearIndex = 1000

// cable makes a pair of interfaces, one on each host, both down. The number must
// be the near one's alone on its host.
func cable(a *Host, aName string, b *Host, bName string, number int) (*Iface, *Iface, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Namespace = aName, 1500, netlink.NsFd(a.ns)
	// Where both ends have one number, each in its namespace, Linux takes them for
	// the same interface and tells of carriers lost and found once a second only.
	attrs.Index = nearIndex + number
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace, veth.PeerMTU = bName, netlink.NsFd(b.ns), 1500
	if err := a.nl.LinkAdd(veth); err != nil {
		return nil, nil, err
	}
	near, far := &Iface{host: a, name: aName}, &Iface{host: b, name: bName}
	near.far, far.far = far, near
	for _, i := range []*Iface{near, far} {
		link, err := i.host.nl.LinkByName(i.name)
		if err != nil {
			return nil, nil, err
		}
		i.link = link
	}
	return near, far, nil
}

// exists forgives that something is there already, and gone that it is not.
func exists(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func gone(err error) error {
	for _, e := range []error{unix.ENOENT, unix.ESRCH, unix.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// ipNet converts a prefix, host bits and all.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
