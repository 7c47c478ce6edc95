//go:build !linux

package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// Open is only there on Linux.
func Open(name string, addrs []netip.Prefix, mtu int) (Device, error) {
	return nil, fmt.Errorf("tun: %w on this system; use `servald socks5` or `servald forward` instead", errors.ErrUnsupported)
}

// FromFile is only there on Linux: elsewhere the device's Read fails.
func FromFile(f *os.File, mtu int) Device { return unsupported{f} }

type unsupported struct{ *os.File }

func (unsupported) MTU() int                  { return DefaultMTU }
func (unsupported) Read([]byte) (int, error)  { return 0, errors.ErrUnsupported }
func (unsupported) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }
