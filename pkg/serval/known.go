package serval

import (
	"context"
	"errors"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Known reports whether a dial of the service would find something to try: an
// instance, under its name or a wildcard, a rule that forwards it, even a default
// one, or a DELAY rule whose hook may start one. It runs no hooks, asks nobody on the
// network that the resolver does not, and counts for no rule, so that it can be asked
// by who only looks a name up, as a DNS server does for strangers.
//
// That a rule drops the service makes it unknown; that its instances do not answer, or
// that this node may not dial it, does not. The error says that the resolver failed,
// so that nobody knows.
func (n *Node) Known(ctx context.Context, service sal.Name) (bool, error) {
	if service.IsZero() {
		return false, nil
	}
	say := n.ruled(service, choice{})
	if len(say.found) > 0 || say.delay != nil {
		return true, nil
	}
	if n.cfg.Resolver == nil || say.dropped >= int(service.Prefix().Bits) {
		return false, nil
	}
	known, err := n.cfg.Resolver.Resolve(resolver.WithoutHooks(ctx), service)
	delayed := new(resolver.DelayedError)
	switch {
	case err == nil:
		return len(appendKnown(nil, known, say.dropped)) > 0, nil
	case errors.As(err, &delayed):
		return say.dropped < 0, nil // how long the hook's name is, is not known
	case errors.Is(err, resolver.ErrNoService), errors.Is(err, resolver.ErrRefused):
		return false, nil
	}
	return false, err
}
