package serval

import (
	"net/netip"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

// want is what a dial asks for besides the service.
type want struct {
	datagram bool
	port     uint16 // see Dialer.Port
	shared   *inbox // takes the datagrams, of a PacketConn; nil makes one
	policy   Policy
	choice   choice
	ask      []candidate // where to ask, in this order; nil asks the resolver
	fixed    bool        // nobody but those in ask
}

// choice is which of several instances a dial wants.
type choice struct {
	balance resolver.Balance
	keyed   bool
	key     uint64          // of the service's key space, if keyed
	only    identity.NodeID // this instance or none, unless zero
	rather  identity.NodeID // this one first, if it is there

	ratherAt netip.AddrPort // and where its node is not known, by its address
}
