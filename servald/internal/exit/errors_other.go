//go:build !linux

package exit

import (
	"errors"
	"net"
	"net/netip"
)

// reportErrors does nothing where errors cannot be told apart by address.
func reportErrors(*net.UDPConn) error { return nil }

// readErrors finds none.
func readErrors(conn *net.UDPConn, _ func(to netip.AddrPort)) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	return !errors.Is(raw.Control(func(uintptr) {}), net.ErrClosed)
}
