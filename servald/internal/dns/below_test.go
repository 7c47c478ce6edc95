package dns

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// lister lists services, or fails.
type lister struct {
	names []string
	err   error
	asked atomic.Int32
}

func (l *lister) Services(context.Context) (all []resolver.Instance, err error) {
	l.asked.Add(1)
	for _, name := range l.names {
		all = append(all, resolver.Instance{Service: sal.MustParseName(name)})
	}
	return all, l.err
}

func TestParents(t *testing.T) {
	l := &lister{names: []string{"svc:web", "svc:shop/cart/eu", "svc:fn/*"}}
	p := &parents{from: l, rules: func() []serval.Rule { return []serval.Rule{{Service: "svc:ruled/one"}, {Service: "0a/8"}} }}
	check := func(want map[string]bool) {
		t.Helper()
		for name, want := range want {
			if got := p.has(t.Context(), sal.MustParseName(name)); got != want {
				t.Errorf("there is something below %s: %v", name, got)
			}
		}
	}
	check(map[string]bool{"shop": true, "shop/cart": true, "fn": true, "ruled": true, "web": false, "shop/cart/eu": false, "sho": false, "nobody": false})
	if n := l.asked.Load(); n != 1 {
		t.Errorf("it is read %d times", n)
	}
	old := func() {
		f := *p.known.Load()
		f.read = time.Now().Add(-2 * parentsFor)
		p.known.Store(&f)
	}
	l.names = []string{"svc:new/one"}
	old()
	check(map[string]bool{"new": true, "shop": false})
	l.names, l.err = nil, errors.New("the daemon is away")
	old()
	check(map[string]bool{"new": true, "ruled": true})
	if Parents(nil, nil)(t.Context(), sal.MustParseName("shop")) {
		t.Error("something is below where nothing is known")
	}
}
