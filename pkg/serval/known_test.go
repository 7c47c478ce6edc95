package serval

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// directory is a resolver of instances without addresses.
type directory func(ctx context.Context, service sal.Name) ([]resolver.Instance, error)

func (d directory) Resolve(ctx context.Context, service sal.Name) ([]resolver.Instance, error) {
	return d(ctx, service)
}

func TestKnown(t *testing.T) {
	c := newCluster(t)
	broken := errors.New("the daemon is away")
	n := startNode(t, Config{Identity: c.join(t, "node"), Resolver: directory(func(ctx context.Context, service sal.Name) ([]resolver.Instance, error) {
		if !resolver.HooksOff(ctx) {
			t.Error("the resolver may run hooks")
		}
		switch service.Path() {
		case "there", "shop/there":
			return []resolver.Instance{{Service: service}}, nil
		case "wild/one":
			return []resolver.Instance{{Service: sal.MustParseName("svc:wild/*")}}, nil
		case "asleep", "shop/asleep":
			return nil, &resolver.DelayedError{Service: service}
		case "dropped":
			return nil, &resolver.ReasonError{Kind: resolver.ErrRefused, Text: "a rule"}
		case "broken":
			return nil, broken
		}
		return nil, &resolver.NoServiceError{Service: service}
	})})
	s := &starter{start: func(string) ([]netip.AddrPort, error) { return nil, errors.New("it must not run") }}
	addRule(t, n, s.rule("svc:fn/*"))
	addRule(t, n, Rule{Service: "svc:shop/*", Action: servicetable.Drop})
	addRule(t, n, Rule{Service: "svc:near", Action: servicetable.Forward, Next: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}})
	for name, want := range map[string]bool{"there": true, "shop/there": true, "wild/one": true, "asleep": true, "fn/resize": true, "near": true,
		"shop/asleep": false, "shop/else": false, "else": false, "dropped": false} {
		if got, err := n.Known(t.Context(), sal.MustParseName(name)); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	if got, err := n.Known(t.Context(), sal.MustParseName("broken")); got || !errors.Is(err, broken) {
		t.Errorf("a resolver that fails: %v, %v", got, err)
	}
	if got, err := n.Known(t.Context(), sal.Name{}); got || err != nil {
		t.Errorf("no name: %v, %v", got, err)
	}
	for _, r := range n.Rules() {
		if r.Packets != 0 {
			t.Errorf("a question counts: %+v", r)
		}
	}
	if s.runs.Load() != 0 {
		t.Error("a question runs the hook")
	}

	// A program asks its host's servald, where the rule is.
	asks := startNode(t, Config{Identity: c.join(t, "program"), Resolver: n})
	for name, want := range map[string]bool{"fn/resize": true, "else": false} {
		if got, err := asks.Known(t.Context(), sal.MustParseName(name)); got != want || err != nil {
			t.Errorf("%s by way of another node: %v, %v; want %v", name, got, err, want)
		}
	}
	addRule(t, n, Rule{Service: "*", Action: servicetable.Forward, Next: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}})
	if got, err := n.Known(t.Context(), sal.MustParseName("else")); !got || err != nil {
		t.Errorf("a default rule: %v, %v", got, err)
	}
}
