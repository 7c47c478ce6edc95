package underlay

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is the kernel's form of an address; that of IPv4 is a prefix.
type sockaddr unix.RawSockaddrInet6

func (s *sockaddr) v4() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
}

// set reports whether to is of the wanted IP version.
func (s *sockaddr) set(to netip.AddrPort, is4 bool) bool {
	addr := to.Addr().Unmap()
	if !addr.IsValid() || addr.Is4() != is4 {
		return false
	}
	p := to.Port()
	s.Port = 0
	port := (*[2]byte)(unsafe.Pointer(&s.Port)) // big endian
	port[0], port[1] = byte(p>>8), byte(p)
	if is4 {
		s.Family = unix.AF_INET
		s.v4().Addr = addr.As4()
		return true
	}
	s.Family = unix.AF_INET6
	s.Flowinfo, s.Scope_id = 0, 0
	s.Addr = addr.As16()
	if z := addr.Zone(); z != "" {
		s.Scope_id = zoneIndex(z)
	}
	return true
}

func (s *sockaddr) len() uint32 {
	if s.Family == unix.AF_INET {
		return unix.SizeofSockaddrInet4
	}
	return unix.SizeofSockaddrInet6
}

func (s *sockaddr) addrPort() netip.AddrPort {
	p := (*[2]byte)(unsafe.Pointer(&s.Port))
	port := uint16(p[0])<<8 | uint16(p[1])
	if s.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4(s.v4().Addr), port)
	}
	addr := netip.AddrFrom16(s.Addr)
	if s.Scope_id != 0 {
		addr = addr.WithZone(strconv.Itoa(int(s.Scope_id)))
	}
	return netip.AddrPortFrom(addr, port)
}

// zoneIndex is the interface index that a zone names or is, else 0.
func zoneIndex(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if ifc, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifc.Index)
	}
	return 0
}
