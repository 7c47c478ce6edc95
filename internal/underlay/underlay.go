// Package underlay carries datagrams over the networks below Serval.
//
// It hides what differs between systems (batching, segmentation offload,
// path MTU flags) behind [Socket] and [Network]. UDP implements them with the
// operating system's sockets; internal/simnet does so in memory.
package underlay

import (
	"errors"
	"net/netip"
)

// ErrTooBig is returned by Send when a datagram does not fit the MTU of the
// interface it would leave by. Nothing is ever fragmented: send less.
var ErrTooBig = errors.New("underlay: datagram exceeds the interface MTU, send smaller ones")

// Batch is one read from a socket: datagrams of Seg bytes each (the last may
// be shorter), all from one peer. The handler may overwrite Data, which like
// the Batch itself is only valid during the call.
type Batch struct {
	Data   []byte
	Seg    int
	From   netip.AddrPort
	Socket Socket

	// More says that the reader has further datagrams, which follow at once: a
	// handler may gather what it sends. Where it does not know, it is false.
	More bool
}

// Handler receives batches on the socket's reader goroutine, one at a time
// per socket. It must not block, nor close its own socket.
type Handler func(b *Batch)

// Socket sends and receives datagrams at one local address.
type Socket interface {
	// Send sends buf as ceil(len(buf)/seg) datagrams of seg bytes, the last
	// perhaps shorter, and keeps no reference to buf. It is safe for
	// concurrent use and never blocks for long: what the system has no room
	// for is dropped, as a network would. ErrTooBig means that seg is larger
	// than the interface carries; any other error means that this path does
	// not work now, not that the socket is useless.
	Send(buf []byte, seg int, to netip.AddrPort) error

	// LocalAddr is the bound address, with the port the system chose.
	LocalAddr() netip.AddrPort

	// MaxBatch is the number of bytes beyond which a larger Send gains nothing.
	MaxBatch() int

	// MTU is the largest datagram payload that fits the MTU of the local
	// address's interface, in bytes; 0 when it is not known.
	MTU() int

	// Close ends the socket and waits until its handler has returned for the
	// last time. Further Sends fail with net.ErrClosed.
	Close() error
}

// Gatherer is implemented by sockets that can send small datagrams of several callers in
// one system call: those of Linux.
type Gatherer interface {
	// Gather sends b as one datagram like Send, but perhaps a moment later, together
	// with others that follow closely; then what goes wrong is not told.
	Gather(b []byte, to netip.AddrPort) error
}

// ErrorReporter is implemented by sockets that hear what the network says of
// the datagrams they sent: those of Linux and of internal/simnet.
type ErrorReporter interface {
	// OnUnreachable has f called for each report, on the socket's reader
	// goroutine under the rules of a Handler, until the next call; nil ends
	// it. Before the first call the socket ignores reports.
	OnUnreachable(f func(u Unreachable))
}

// Unreachable is an ICMP report that a datagram did not arrive. Nothing proves
// who sent it, hence it is only a hint, more so when Quoted does not show that
// its sender saw the datagram.
type Unreachable struct {
	To     netip.AddrPort // where the datagram was sent
	Quoted []byte         // its first bytes, at most 512, often none; only valid during the call

	// Port says that the host is there but nobody has the port: the peer's
	// process has ended.
	Port bool

	// MTU, unless 0, says that the datagram was too big, and is the largest
	// payload that would have passed, in bytes. With neither Port nor MTU, a
	// router or firewall could or would not reach the host.
	MTU int
}

// Network opens sockets and knows the addresses of this host.
type Network interface {
	// Listen opens a socket at addr; port 0 lets the system choose one.
	Listen(addr netip.AddrPort, h Handler) (Socket, error)

	// LocalAddrs lists the addresses that peers could reach now.
	LocalAddrs() ([]netip.Addr, error)

	// SourceFor is the local address that routing picks for packets to dst.
	SourceFor(dst netip.Addr) (netip.Addr, error)

	// Interfaces lists the interfaces of this host, also those that are down.
	Interfaces() ([]Interface, error)

	// Watch has f called soon after interfaces, addresses or routes have
	// changed, once for changes close together, on a goroutine of its own and
	// never twice at once. What f then asks for is up to date. To miss nothing,
	// watch first and list then. stop ends it and waits for f to return, so f
	// must not call it; a second call does nothing.
	Watch(f func()) (stop func(), err error)
}

// Interface is a network interface of this host.
type Interface struct {
	Name  string
	Index int // the system's; another one if the interface is made anew

	// Addrs are its unicast addresses that can be used now: neither link-local,
	// as peers could not name the interface, nor still being checked for
	// duplicates.
	Addrs []netip.Addr

	MTU      int  // largest IP packet, in bytes
	Running  bool // it is up and has a carrier
	Loopback bool
}

// MaxPayload is the largest UDP payload over IPv4 without jumbograms; batches
// stay below it on every path, as the kernel handles them as one packet.
const MaxPayload = 65507

// readSize holds any read: a datagram, or several that the kernel merged.
const readSize = 1 << 16
