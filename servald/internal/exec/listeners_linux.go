package exec

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// endpoint is where somebody listens.
type endpoint struct {
	network string         // as package net has it: tcp4, tcp6, tcp (both), udp4, udp6 or udp
	addr    netip.AddrPort // loopback or unspecified
}

func (e endpoint) String() string { return e.network + " " + e.addr.String() }

// States of sockets, as the kernel numbers them for all protocols.
const (
	stateClosed = 7 // a UDP socket that is not connected
	stateListen = 10
)

// lister lists who listens in a network namespace: that of the thread that made it.
type lister struct{ socket *nl.SocketHandle }

// newLister returns a lister for the calling thread's namespace.
func newLister() (*lister, error) {
	s, err := nl.Subscribe(unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := s.SetReceiveTimeout(&unix.Timeval{Sec: 2}); err != nil {
		s.Close()
		return nil, err
	}
	return &lister{&nl.SocketHandle{Socket: s}}, nil
}

func (l *lister) close() { l.socket.Close() }

// list returns the TCP ports that are listened at, and the UDP ports below ephemeral
// that are bound and not connected, on loopback or all addresses.
func (l *lister) list(ephemeral uint16) (map[endpoint]bool, error) {
	found := make(map[endpoint]bool)
	for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
			req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_INET_DIAG: l.socket}
			req.AddData(diagRequest{family, protocol})
			err := req.ExecuteIter(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY, func(msg []byte) bool {
				if e, ok := parseDiag(msg, protocol); ok && (protocol == unix.IPPROTO_TCP || e.addr.Port() < ephemeral) {
					found[e] = true
				}
				return true
			})
			if err != nil && (family == unix.AF_INET || err != unix.ENOENT) {
				return nil, fmt.Errorf("listing the ports that are listened at: %w", err)
			}
		}
	}
	return found, nil
}

// diagRequest is a struct inet_diag_req_v2 that asks for all sockets of a kind that
// wait for others (sock_diag(7)).
type diagRequest struct{ family, protocol uint8 }

// Len implements nl.NetlinkRequestData.
func (diagRequest) Len() int { return 56 }

// Serialize implements nl.NetlinkRequestData.
func (r diagRequest) Serialize() []byte {
	b := make([]byte, r.Len())
	b[0], b[1] = r.family, r.protocol
	states := uint32(1 << stateListen)
	if r.protocol == unix.IPPROTO_UDP {
		states = 1 << stateClosed
	}
	binary.NativeEndian.PutUint32(b[4:], states)
	return b
}

// parseDiag reads a struct inet_diag_msg. It returns false for sockets that are neither
// on loopback nor on all addresses.
func parseDiag(b []byte, protocol uint8) (endpoint, bool) {
	const size, skV6Only = 72, 11
	if len(b) < size {
		return endpoint{}, false
	}
	family, port := b[0], binary.BigEndian.Uint16(b[4:])
	addr := netip.AddrFrom4([4]byte(b[8:12]))
	if family == unix.AF_INET6 {
		addr = netip.AddrFrom16([16]byte(b[8:24]))
	}
	if port == 0 || !addr.Unmap().IsLoopback() && !addr.Unmap().IsUnspecified() {
		return endpoint{}, false
	}
	network := "tcp"
	if protocol == unix.IPPROTO_UDP {
		network = "udp"
	}
	switch {
	case addr.Unmap().Is4():
		network += "4"
	case !addr.IsUnspecified():
		network += "6"
	default:
		attributes, err := nl.ParseRouteAttr(b[size:])
		if err == nil && slices.ContainsFunc(attributes, func(a syscall.NetlinkRouteAttr) bool {
			return a.Attr.Type == skV6Only && len(a.Value) > 0 && a.Value[0] != 0
		}) {
			network += "6"
		}
	}
	return endpoint{network, netip.AddrPortFrom(addr.Unmap(), port)}, true
}

// ephemeralPorts returns the first of the ports that the kernel gives to clients.
func ephemeralPorts() uint16 {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if words := strings.Fields(string(b)); len(words) == 2 {
			if n, err := strconv.ParseUint(words[0], 10, 16); err == nil {
				return uint16(n)
			}
		}
	}
	return 32768
}
