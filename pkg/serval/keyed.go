package serval

import (
	"context"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

// keyed is the choice of the instance that owns a key.
func keyed(key string) choice { return choice{keyed: true, key: resolver.HashKey(key)} }

// admits reports whether a node's instance will do. The candidates of a resolver
// that does not know nodes, and what a router chose, may be another's.
func (w choice) admits(node identity.NodeID) bool {
	return w.only == identity.NodeID{} || w.only == node
}

// DialKey opens a stream connection to the instance of a service that owns a key:
// one whose registration has a prefix of the key's xxHash64, or where instances
// have no prefixes, the one that rendezvous hashing finds. Which one that is
// changes with the instances; what changes is only what must.
func (n *Node) DialKey(ctx context.Context, service, key string) (*Conn, error) {
	return n.dial(ctx, service, want{choice: keyed(key)})
}

// DialInstance opens a stream connection to the instance of a service on one
// node, and to no other: an Addr's Instance, or a node that `servald services`
// shows.
func (n *Node) DialInstance(ctx context.Context, service string, node identity.NodeID) (*Conn, error) {
	return n.dial(ctx, service, want{choice: choice{only: node}})
}

// DialKey is Node.DialKey on the default node.
func DialKey(service, key string) (*Conn, error) {
	n, err := Default()
	if err != nil {
		return nil, err
	}
	return n.DialKey(context.Background(), service, key)
}

// DialInstance is Node.DialInstance on the default node.
func DialInstance(service string, node identity.NodeID) (*Conn, error) {
	n, err := Default()
	if err != nil {
		return nil, err
	}
	return n.DialInstance(context.Background(), service, node)
}
