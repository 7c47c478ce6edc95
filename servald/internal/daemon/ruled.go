package daemon

import (
	"context"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// ruled is what programs of the host see of the cluster: what gossip knows, and
// what the rules of the daemon's node make of it.
type ruled struct {
	*gossip.Gossip
	node *serval.Node
}

// Resolve implements resolver.Resolver. It takes as long as the hook of a DELAY
// rule, or until ctx ends.
func (r ruled) Resolve(ctx context.Context, service sal.Name) ([]resolver.Instance, error) {
	return r.node.Resolve(ctx, service)
}
