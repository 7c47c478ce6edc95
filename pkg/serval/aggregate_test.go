package serval

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// TestHierarchy: a domain's router registers its services under one name above.
// Who is there dials them without knowing one, directly or through a router of the
// upper domain that follows what is registered there.
func TestHierarchy(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	lower := l.nodeWith(Config{Forward: true, Resolver: new(book)}, ip(1))
	src := newTeller()
	defer lower.Learn(src)()
	var all []resolver.Change
	for i, service := range []string{"svc:shop/cart", "svc:shop/pay"} {
		s := l.hidden(2 + i)
		l.echo(s, service)
		in := someInstance(service, 0, 2+i)
		in.Node = s.ID()
		all = append(all, is(in))
	}
	src.tell(resolver.Update{Snapshot: true, Changes: all})
	lease, err := lower.Aggregate(context.Background(), l.book, "svc:shop/*")
	must(t, err)

	client := l.node(10)
	for i, service := range []string{"svc:shop/cart", "svc:shop/pay"} {
		c := l.dial(client, service)
		if got := c.RemoteAddr().(*Addr).Underlay; got != at(2+i) {
			t.Errorf("%s is at %v", service, got)
		}
		must(t, exchange(c, 1000))
	}
	_, err = client.Dial("svc:shop/none")
	sentence(t, err, ErrNoService, "svc:shop/none")

	upper := l.nodeWith(Config{Forward: true, Resolver: new(book)}, ip(11))
	above := newTeller()
	defer upper.Learn(above)()
	known, err := l.book.Resolve(context.Background(), sal.MustParseName("svc:shop/cart"))
	must(t, err)
	above.tell(resolver.Update{Snapshot: true, Changes: []resolver.Change{is(known[0])}})
	outside := new(book)
	outside.add("svc:*", at(11))
	stranger := l.nodeWith(Config{Resolver: outside}, ip(12))
	must(t, exchange(l.dial(stranger, "svc:shop/pay"), 1000))

	must(t, lease.Close(context.Background()))
	must(t, lease.Close(context.Background()))
	_, err = client.Dial("svc:shop/cart")
	sentence(t, err, ErrNoService, "no instance of svc:shop/cart is known")
}

// TestAggregateFollows: the registration is where the router is, until it closes.
func TestAggregateFollows(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	h := l.net.Host(ip(1))
	router := l.nodeOn(h, Config{Forward: true, Resolver: new(book)}, netip.IPv4Unspecified())
	_, err := router.Aggregate(context.Background(), l.book, "svc:shop/*")
	must(t, err)
	registered := func() []netip.AddrPort {
		l.book.mu.Lock()
		defer l.book.mu.Unlock()
		if len(l.book.list) == 0 {
			return nil
		}
		return l.book.list[0].Addrs
	}
	h.Add(ip(2))
	eventually(t, "the new address is registered", func() bool { return slices.Contains(registered(), at(2)) })
	must(t, router.Close())
	if got := registered(); got != nil {
		t.Errorf("a closed router is registered at %v", got)
	}
	_, err = router.Aggregate(context.Background(), l.book, "svc:shop/*")
	sentence(t, err, ErrClosed, "svc:shop/*")
}

func TestAggregateRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, err := l.node(1).Aggregate(context.Background(), l.book, "svc:shop/*")
	sentence(t, err, ErrRefused, "set Config.Forward")
	limited := l.nodeWith(Config{Forward: true, Identity: l.identityWith(identity.Rights{Serve: []string{"db"}})}, ip(2))
	_, err = limited.Aggregate(context.Background(), l.book, "svc:shop/*")
	sentence(t, err, ErrNotAuthorized, "does not allow it to serve svc:shop/*")
}
