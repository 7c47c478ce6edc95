package exec

import (
	"errors"
	"net/netip"

	"github.com/serval-net/serval/servald/internal/tun"
)

func openPacket(name string, addrs []netip.Prefix) (tun.Device, error) {
	return nil, errors.ErrUnsupported
}
