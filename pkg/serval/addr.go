package serval

import (
	"net/netip"
	"strconv"

	"github.com/serval-net/serval/pkg/identity"
)

// Addr names one end of a connection: a service and the instance of it, which
// stay what they are while the underlay address below them moves.
type Addr struct {
	Service  string          // "svc:web"; empty for a client that serves nothing
	Instance identity.NodeID // the node
	Underlay netip.AddrPort  // where it was when asked

	// Port is one of the service's, as legacy programs have them: the one that was
	// dialled (Dialer.Port), or of a datagram the one that it is for or from. 0 if
	// there is none.
	Port uint16

	link *link // the connection it was read from, for PacketConn.WriteTo
}

// anyNode is what an Addr without an Instance has.
var anyNode identity.NodeID

// localAddr is where this node serves, or that of a client if service is empty.
func (n *Node) localAddr(service string) Addr {
	a := Addr{Service: service, Instance: n.ID()}
	if addrs := n.sockets.addrs(); len(addrs) > 0 {
		a.Underlay = addrs[0]
	}
	return a
}

// Network returns "serval".
func (a *Addr) Network() string { return "serval" }

// String returns "svc:web#<instance>", or "#<instance>" for a mere client, with
// ":<port>" behind it if there is a Port.
func (a *Addr) String() string {
	s := a.Service + "#" + a.Instance.Short()
	if a.Port != 0 {
		s += ":" + strconv.Itoa(int(a.Port))
	}
	return s
}
