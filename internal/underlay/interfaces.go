package underlay

import (
	"fmt"
	"net/netip"
)

// Interfaces implements Network.
func (u *UDP) Interfaces() ([]Interface, error) {
	all, err := interfaces()
	if err != nil {
		return nil, fmt.Errorf("underlay: cannot list interfaces: %w", err)
	}
	return all, nil
}

// usable reports whether peers could be told of an interface's address.
func usable(a netip.Addr) bool { return a.IsLoopback() || a.IsGlobalUnicast() }
