//go:build linux

package stage

import (
	"errors"
	"net/netip"
	"path/filepath"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/lab"
)

// Neighbour is a host that cannot run servald, at a cable to one that does.
type Neighbour struct {
	*fleet.Host
	Addr netip.Addr // its own
	Via  netip.Addr // of the host that runs servald, at the same cable
}

// NeighbourOf adds a host beside the client's or the server's, of a stage that has
// paths. All that it sends elsewhere goes there.
func (s *Stage) NeighbourOf(h *lab.Host) (*Neighbour, error) {
	n, err := s.Net.Host("neighbour of the " + h.Name)
	if err != nil {
		return nil, err
	}
	near, far, err := s.Net.Connect(h, n)
	if err != nil {
		return nil, err
	}
	return &Neighbour{Host: s.Fleet.Outsider(n, n.Name), Addr: far.Addr(), Via: near.Addr()},
		errors.Join(n.DefaultVia(near.Addr()), ownEtc(n, filepath.Join(s.dir, "etc of the "+n.Name)))
}
