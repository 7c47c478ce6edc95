package resolver

import "context"

type hooksKey struct{}

// WithoutHooks returns a context with which a Resolver that would run hooks, to
// find or start an instance that is not there, does not.
func WithoutHooks(ctx context.Context) context.Context {
	return context.WithValue(ctx, hooksKey{}, true)
}

// HooksOff reports whether ctx comes from WithoutHooks.
func HooksOff(ctx context.Context) bool {
	off, _ := ctx.Value(hooksKey{}).(bool)
	return off
}
