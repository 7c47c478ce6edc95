package resolver

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// nodePrefix begins the names of nodes' records.
const nodePrefix = "node/"

// NodeName returns the name of a node's own record, which says where to find it
// whatever it serves: for peers that have lost it when both have moved. Every
// node may register its own, whatever its certificate lets it serve, and nobody
// else may, nor a name below or a wildcard for them. Listers leave them out.
func NodeName(node identity.NodeID) sal.Name {
	return sal.MustParseName(nodePrefix + node.String())
}

// isNode reports whether a name is reserved for the records of nodes.
func isNode(name sal.Name) bool { return strings.HasPrefix(name.Path(), nodePrefix) }

// isOwn reports whether a name is of Serval itself, such as that of rendezvous.
// Directories find them, but do not list them.
func isOwn(name sal.Name) bool { return strings.HasPrefix(name.Path(), "serval/") }

// isHidden reports whether listers leave a name out.
func isHidden(name sal.Name) bool { return isNode(name) || isOwn(name) }

// mayRegister reports whether a node may make itself known under a name.
func mayRegister(p *identity.Peer, name sal.Name) bool {
	if isNode(name) {
		return name == NodeName(p.Node)
	}
	return p.MayServe(name)
}

// RegisterNode makes the node of an identity known by its addresses.
func RegisterNode(ctx context.Context, r Registrar, id *identity.Identity, addrs []netip.AddrPort) (Lease, error) {
	return r.Register(ctx, Registration{Service: NodeName(id.Node()), Identity: id, Addrs: addrs})
}

// LookupNode returns where a node says that it is, best first. If it is not
// known, the error is ErrNoService.
func LookupNode(ctx context.Context, r Resolver, node identity.NodeID) ([]netip.AddrPort, error) {
	name := NodeName(node)
	found, err := r.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, in := range found {
		// A resolver of another kind may know no better than a wildcard.
		if in.Node != node && (in.Node != identity.NodeID{} || in.Service != name) {
			continue
		}
		for _, a := range in.Addrs {
			if !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	if len(addrs) == 0 {
		return nil, &NoServiceError{name}
	}
	return addrs, nil
}
