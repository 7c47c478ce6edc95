//go:build !linux

package resolvconf

import (
	"context"
	"errors"
	"net/netip"
)

// uplinks is nowhere.
const uplinks = ""

type resolved struct{ cfg Config }

var errNoResolved = errors.New("resolv.conf: systemd-resolved is on Linux only; choose the mode \"file\"")

func (*resolved) set(context.Context) ([]string, error)         { return nil, errNoResolved }
func (*resolved) check(context.Context) (bool, []string, error) { return false, nil, nil }
func (*resolved) restore() error                                { return nil }

func usesResolved(string) bool { return false }
func isStub(netip.Addr) bool   { return false }
