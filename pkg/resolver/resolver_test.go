package resolver

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

var (
	web = sal.MustParseName("svc:web")
	ctx = context.Background()
)

// newCluster returns identities of one cluster, the nth of which may serve only
// the nth of the patterns.
func newCluster(t testing.TB, patterns ...string) []*identity.Identity {
	t.Helper()
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var ids []*identity.Identity
	for _, p := range patterns {
		id, err := token.Join(identity.Member{Rights: identity.Rights{Serve: []string{p}}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func registration(id *identity.Identity) Registration {
	return Registration{Service: web, Identity: id, Addrs: []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:7001"), netip.MustParseAddrPort("[2001:db8::1]:7001"),
	}, Weight: 3, Priority: -7}
}

func TestResolversAgree(t *testing.T) {
	var _ interface {
		Resolver
		Lister
		Feedback
		Publisher
	} = (*Directory)(nil)
	var _ Lister = (*Static)(nil)
	var _ = []Feedback{Chain{}, &Cache{}, &Static{}}
}

func TestPatterns(t *testing.T) {
	for name, want := range map[string]string{
		"web":          "svc:web svc:web/* svc:*",
		"shop/cart/eu": "svc:shop/cart/eu svc:shop/cart/* svc:shop/* svc:*",
	} {
		var got []string
		for _, p := range patterns(sal.MustParseName(name)) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("patterns of %s are %v", name, got)
		}
	}
}

func TestSort(t *testing.T) {
	now := time.Now()
	in := func(node byte, priority, weight int) Instance {
		return Instance{Node: identity.NodeID{node}, Priority: priority, Weight: weight}
	}
	var h Health
	h.Report(in(9, 0, 0), false, now)
	first := make(map[byte]int)
	const n = 10_000
	for range n {
		list := []Instance{in(9, 9, 99), in(1, 1, 3), in(2, 1, 0), in(3, 0, 99)}
		h.Sort(list, now)
		first[list[0].Node[0]]++
		if list[2].Node[0] != 3 || list[3].Node[0] != 9 {
			t.Fatalf("order is %v", list)
		}
	}
	if first[1] < n*70/100 || first[1] > n*80/100 {
		t.Errorf("weight 3 to 1 came first %d times of %d", first[1], n)
	}
	list := []Instance{in(1, 1, 1), in(9, 9, 1)}
	if h.Sort(list, now.Add(Suspicion)); list[0].Node[0] != 9 {
		t.Error("an instance is suspect for ever")
	}
	h.Report(in(9, 0, 0), true, now)
	list = []Instance{in(1, 1, 1), in(9, 9, 1)}
	if h.Sort(list, now); list[0].Node[0] != 9 {
		t.Error("an instance that answered is suspect")
	}
}

type fake struct {
	found []Instance
	err   error
	asked int
}

func (f *fake) Resolve(context.Context, sal.Name) ([]Instance, error) {
	f.asked++
	return f.found, f.err
}

func TestChain(t *testing.T) {
	none, broken, good := &fake{err: &NoServiceError{web}}, &fake{err: errors.New("broken")}, &fake{found: []Instance{{Service: web}}}
	if found, err := (Chain{none, broken, good, broken}).Resolve(ctx, web); err != nil || len(found) != 1 || broken.asked != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := (Chain{none, none}).Resolve(ctx, web); !errors.Is(err, ErrNoService) || !strings.Contains(err.Error(), "svc:web") {
		t.Errorf("error %v", err)
	}
	if _, err := (Chain{none, broken}).Resolve(ctx, web); errors.Is(err, ErrNoService) || err == nil {
		t.Errorf("a failure shows as %v", err)
	}
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{found: []Instance{
			{Service: web, Node: identity.NodeID{1}, Priority: 1},
			{Service: web, Node: identity.NodeID{2}},
		}}
		c := &Cache{Resolver: f}
		ask := func(asked int) []Instance {
			t.Helper()
			found, err := c.Resolve(ctx, web)
			if err != nil || len(found) != 2 || f.asked != asked {
				t.Fatalf("found %v, %v after asking %d times, want %d", found, err, f.asked, asked)
			}
			return found
		}
		ask(1)
		first := ask(1)[0]
		c.Report(first, false)
		ask(2)
		if got := ask(2); got[0].Node == first.Node {
			t.Error("an instance that did not answer comes first")
		}
		time.Sleep(DefaultCacheTTL)
		ask(3)
		f.found[0].Expires = time.Now().Add(time.Minute)
		f.found[1].Expires = time.Now().Add(DefaultCacheTTL / 2)
		time.Sleep(DefaultCacheTTL)
		ask(4)
		f.err = errors.New("broken")
		if _, err := c.Resolve(ctx, web); err == nil {
			t.Error("an expired answer was kept")
		}
	})
}
