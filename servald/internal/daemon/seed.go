package daemon

import (
	"net"
	"net/netip"
)

// GossipPort is the port for gossip where nothing else is said.
const GossipPort = "7946"

// DefaultSeed is the address at which a new cluster's first host can be found: that
// of the default route, or loopback where there is none.
func DefaultSeed() string {
	host := "127.0.0.1"
	// Nothing is sent: the address is one for documentation.
	if conn, err := net.Dial("udp", "192.0.2.1:9"); err == nil {
		host = conn.LocalAddr().(*net.UDPAddr).IP.String()
		conn.Close()
	}
	return net.JoinHostPort(host, GossipPort)
}

// BindTo returns the seed that this host is itself, if it can gossip there: so the
// first host takes the address that its tokens name. Otherwise it returns zero, which
// takes any address.
func BindTo(seeds []string) netip.AddrPort {
	for _, seed := range seeds {
		addr, err := netip.ParseAddrPort(seed)
		if err != nil {
			continue // a name is not for binding
		}
		ln, err := net.Listen("tcp", seed)
		if err != nil {
			continue // another host's, or taken by another servald of this one
		}
		ln.Close()
		return addr
	}
	return netip.AddrPort{}
}
