package door

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/servald/internal/outbound"
)

// DefaultHandshake is how long a client of a proxy may take to say what it wants.
const DefaultHandshake = 10 * time.Second

// ProxySettings are what proxies have whose clients name their destinations.
// Destinations is required.
type ProxySettings struct {
	Settings

	// Destinations connects the clients.
	Destinations *outbound.Destinations

	// Users are those who may come in.
	Users Users

	// Handshake is how long a client may take to say what it wants; 0 is 10 s.
	Handshake time.Duration
}

// Prepare puts defaults in what is not set. It returns an error, and closes ln, if the
// proxy would be open to all.
func (p *ProxySettings) Prepare(ln net.Listener) error {
	if p.Handshake <= 0 {
		p.Handshake = DefaultHandshake
	}
	if p.Log == nil {
		p.Log = slog.Default()
	}
	err := checkOpen(ln.Addr(), p.Destinations.Foreign, len(p.Users), p.Clients)
	if err != nil {
		ln.Close()
	}
	return err
}

// checkOpen returns an error if a proxy that listens on addr would let strangers reach
// foreign destinations: it listens for more than this host, knows neither users nor
// clients, and leads everywhere.
func checkOpen(addr net.Addr, foreign outbound.Foreign, users int, clients []netip.Prefix) error {
	if foreign == outbound.ForeignNone || users > 0 || IsLocal(addr) || (len(clients) > 0 && !everybody(clients)) {
		return nil
	}
	return fmt.Errorf("at %v this would be an open proxy: anybody could use it to reach any host; listen on localhost, name users or clients, or leave foreign destinations away", addr)
}

func everybody(clients []netip.Prefix) bool {
	return slices.ContainsFunc(clients, func(p netip.Prefix) bool { return p.Bits() == 0 })
}
