package serval

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/serval-net/serval/internal/underlay"
)

// sockets is the node's underlay: one UDP socket per local address. It does
// not change after open.
type sockets struct {
	network underlay.Network
	all     []underlay.Socket
	byAddr  map[netip.Addr]underlay.Socket
}

func (s *sockets) open(n *Node) error {
	s.network = n.cfg.network
	s.byAddr = make(map[netip.Addr]underlay.Socket)
	addrs, err := s.wanted(n.cfg.Listen)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		sock, err := s.network.Listen(a, n.receive)
		if err != nil {
			if len(n.cfg.Listen) == 0 && len(s.all)+1 < len(addrs) {
				continue // an address that went away while we looked
			}
			s.close()
			return fmt.Errorf("serval: cannot listen on %v: %w; choose another address in Config.Listen or SERVAL_LISTEN", a, err)
		}
		if r, ok := sock.(underlay.ErrorReporter); ok {
			r.OnUnreachable(n.unreachable)
		}
		s.all = append(s.all, sock)
		if _, taken := s.byAddr[a.Addr()]; !taken {
			s.byAddr[a.Addr()] = sock
		}
	}
	if len(s.all) == 0 {
		return fmt.Errorf("serval: this host has no address to listen on; bring an interface up or set Config.Listen")
	}
	return nil
}

// wanted lists the addresses to bind: those asked for, or all there are.
func (s *sockets) wanted(ask []netip.AddrPort) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, a := range ask {
		if !a.Addr().IsUnspecified() {
			out = append(out, a)
			continue
		}
		locals, err := s.network.LocalAddrs()
		if err != nil {
			return nil, fmt.Errorf("serval: cannot list this host's addresses: %w", err)
		}
		for _, l := range locals {
			if l.Is4() == a.Addr().Is4() {
				out = append(out, netip.AddrPortFrom(l, a.Port()))
			}
		}
	}
	if len(ask) == 0 {
		locals, err := s.network.LocalAddrs()
		if err != nil {
			return nil, fmt.Errorf("serval: cannot list this host's addresses: %w", err)
		}
		for _, l := range locals {
			out = append(out, netip.AddrPortFrom(l, 0))
		}
	}
	return out, nil
}

// addrs lists where the node can be reached.
func (s *sockets) addrs() []netip.AddrPort {
	out := make([]netip.AddrPort, len(s.all))
	for i, sock := range s.all {
		out[i] = sock.LocalAddr()
	}
	return out
}

// public lists where other hosts can reach the node, or if there is no such
// address, where this host can.
func (s *sockets) public() []netip.AddrPort {
	all := s.addrs()
	out := slices.DeleteFunc(slices.Clone(all), func(a netip.AddrPort) bool { return a.Addr().IsLoopback() })
	if len(out) == 0 {
		return all
	}
	return out
}

// pick returns the socket to reach dst from: the one bound to the address that
// routing prefers, else any of the same family, else nil.
func (s *sockets) pick(dst netip.Addr) underlay.Socket {
	if sock := s.byAddr[dst]; sock != nil {
		return sock // this very host
	}
	if src, err := s.network.SourceFor(dst); err == nil {
		if sock := s.byAddr[src]; sock != nil {
			return sock
		}
	}
	for _, sock := range s.all {
		if sock.LocalAddr().Addr().Is4() == dst.Unmap().Is4() {
			return sock
		}
	}
	return nil
}

func (s *sockets) close() {
	for _, sock := range s.all {
		sock.Close()
	}
}
