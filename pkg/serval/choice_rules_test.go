package serval

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// TestRulesAndResolver: the longest prefix wins, and of equals the rule.
func TestRulesAndResolver(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.node(1)
	known, _ := l.instance(2, "svc:shop/cart", ListenConfig{})
	other := l.node(3)
	for _, name := range []string{"svc:shop/cart", "svc:shop/list"} {
		ln, err := (&ListenConfig{Node: other}).Listen(t.Context(), name)
		must(t, err)
		go acceptEcho(ln)
		l.withdraw(other.ID())
	}
	type rule = servicetable.Rule[target]
	forward := func(prefix string) *rule {
		return &rule{Prefix: sal.MustParseName(prefix).Prefix(), Action: servicetable.Forward, Target: target{addrs: []netip.AddrPort{other.at()}}}
	}
	drop := func(prefix string) *rule {
		return &rule{Prefix: sal.MustParseName(prefix).Prefix(), Action: servicetable.Drop}
	}
	for _, tc := range []struct {
		service string
		rule    *rule
		want    *Node // nil: refused
	}{
		{"svc:shop/cart", forward("svc:shop/*"), known},
		{"svc:shop/list", forward("svc:shop/*"), other},
		{"svc:shop/cart", forward("svc:shop/cart"), other},
		{"svc:shop/cart", drop("svc:shop/*"), known},
		{"svc:shop/list", drop("svc:shop/*"), nil},
		{"svc:shop/cart", drop("svc:shop/cart"), nil},
	} {
		must(t, client.services.Add(tc.rule))
		c, err := client.Dial(tc.service)
		switch {
		case tc.want == nil:
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%s, %v %v: %v", tc.service, tc.rule.Action, tc.rule.Prefix, err)
			}
		case err != nil:
			t.Errorf("%s, %v %v: %v", tc.service, tc.rule.Action, tc.rule.Prefix, err)
		case c.PeerIdentity().Node != tc.want.ID():
			t.Errorf("%s, %v %v: %v answered", tc.service, tc.rule.Action, tc.rule.Prefix, c.PeerIdentity().Node)
		}
		if c != nil {
			c.Close()
		}
		client.services.Remove(tc.rule)
	}
}

// withdraw has the resolver forget a node, which does not know.
func (b *book) withdraw(node identity.NodeID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = slices.DeleteFunc(b.list, func(in resolver.Instance) bool { return in.Node == node })
}

// TestConsiderChangesNothing: to ask what a dial would do takes no trial.
func TestConsiderChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.node(1)
	client.health.addrs.First = time.Nanosecond
	l.add("svc:web", nowhere)
	client.health.silent(nowhere)
	for range 2 {
		all, _, err := client.consider(context.Background(), sal.MustParseName("web"), choice{})
		must(t, err)
		if len(all) != 1 || all[0].Standing != resolver.Trial {
			t.Fatalf("verdicts are %+v", all)
		}
	}
}
