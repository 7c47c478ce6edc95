package serval

import (
	"context"
	"iter"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// teller is a source that tells what the test puts in.
type teller struct {
	updates chan resolver.Update
	heard   chan struct{} // after each update was taken in
}

func newTeller() *teller {
	return &teller{make(chan resolver.Update), make(chan struct{})}
}

func (s *teller) Follow(ctx context.Context) iter.Seq[resolver.Update] {
	return func(yield func(resolver.Update) bool) {
		for {
			select {
			case u := <-s.updates:
				if !yield(u) {
					return
				}
				s.heard <- struct{}{}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *teller) tell(u resolver.Update) { s.updates <- u; <-s.heard }

func someInstance(service string, node byte, host int) resolver.Instance {
	return resolver.Instance{Service: sal.MustParseName(service), Node: identity.NodeID{node}, Addrs: addrs(host)}
}

func addrs(hosts ...int) (out []netip.AddrPort) {
	for _, h := range hosts {
		out = append(out, at(h))
	}
	return out
}

func is(in resolver.Instance) resolver.Change { return resolver.Change{Instance: in} }

// TestLearn: what a resolver tells becomes rules, and nothing else stays.
func TestLearn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.nodeWith(Config{Forward: true}, ip(1))
	src := newTeller()
	stop := n.Learn(src)
	defer stop()
	a, b, c := someInstance("svc:a", 1, 2), someInstance("svc:a", 2, 3), someInstance("svc:b", 3, 4)
	own := someInstance("svc:a", 0, 1)
	own.Node = n.ID()
	src.tell(resolver.Update{Snapshot: true, More: true, Changes: []resolver.Change{is(a), is(own)}})
	src.tell(resolver.Update{Changes: []resolver.Change{is(b), is(c)}})
	if got := n.services.Len(); got != 3 {
		t.Fatalf("%d rules, want 3: none for this node itself", got)
	}
	rules := func(service string) int {
		return len(n.services.Candidates(nil, sal.MustParseName(service).ServiceID(), 100))
	}
	if rules("svc:a") != 2 || rules("svc:b") != 1 {
		t.Errorf("%d rules for svc:a, %d for svc:b", rules("svc:a"), rules("svc:b"))
	}

	rule := n.services.Candidates(nil, c.Service.ServiceID(), 1)[0]
	c.Load = 0.5
	src.tell(resolver.Update{Changes: []resolver.Change{is(c)}})
	if now := n.services.Candidates(nil, c.Service.ServiceID(), 1)[0]; now != rule || now.Target.load() != 0.5 {
		t.Errorf("another load made another rule, or is not known: %v", now.Target.load())
	}
	c.Weight, c.Keys = 7, []sal.KeyPrefix{{Key: 1 << 63, Bits: 1}, {Bits: 2}}
	src.tell(resolver.Update{Changes: []resolver.Change{is(c), {Instance: a, Gone: true}}})
	if rules("svc:a") != 1 || n.services.Len() != 3 {
		t.Errorf("%d rules for svc:a, %d in all", rules("svc:a"), n.services.Len())
	}
	for key, want := range map[uint64]int{1<<63 | 5: 1, 5: 1, 1<<62 | 5: 0} {
		if got := len(n.services.Candidates(nil, c.Service.ServiceID().WithKey(key), 100)); got != want {
			t.Errorf("%d rules for key %x, want %d", got, key, want)
		}
	}
	src.tell(resolver.Update{Snapshot: true, Changes: []resolver.Change{is(b)}})
	if n.services.Len() != 1 || rules("svc:a") != 1 {
		t.Errorf("%d rules after a snapshot of one instance", n.services.Len())
	}
	stop()
	stop()
	if got := n.services.Len(); got != 0 {
		t.Errorf("%d rules are left", got)
	}
}

// TestLearnNodeCloses: the node ends what it learns from, and learns nothing when
// it is closed.
func TestLearnNodeCloses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.node(1)
	n.Learn(newTeller())
	must(t, n.Close())
	n.Learn(newTeller())()
}

// TestRouterLearns: a router follows a directory; instances come, are preferred by
// load or key, and go, and diallers who know nothing but the router find them.
func TestRouterLearns(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	router := l.nodeWith(Config{Forward: true, Resolver: new(book)}, ip(1))
	src := newTeller()
	defer router.Learn(src)()
	l.add("svc:*", at(1))
	client := l.node(2)
	_, err := client.Dial("svc:cache")
	sentence(t, err, ErrNoService, "svc:cache")

	servers := map[identity.NodeID]int{}
	var all []resolver.Change
	for i := range 3 {
		s := l.hidden(3 + i)
		l.echo(s, "svc:cache")
		in := someInstance("svc:cache", 0, 3+i)
		in.Node, in.Load, in.Balance = s.ID(), float64(i)/4, resolver.BalanceLeastLoad
		all = append(all, is(in))
		servers[s.ID()] = i
	}
	src.tell(resolver.Update{Snapshot: true, Changes: all})
	count := func(n int, dial func() *Conn) (got [3]int) {
		for range n {
			c := dial()
			got[servers[c.PeerIdentity().Node]]++
			must(t, c.Close())
		}
		return got
	}
	got := count(60, func() *Conn { return l.dial(client, "svc:cache") })
	if got[0] <= got[2] {
		t.Errorf("dials by load %v, want fewest at the last", got)
	}

	for i := range all {
		all[i].Balance = resolver.BalanceHash
	}
	src.tell(resolver.Update{Changes: all})
	keyed := func() *Conn {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, err := client.DialKey(ctx, "svc:cache", "the same key")
		must(t, err)
		return c
	}
	got = count(12, keyed)
	if got[0] != 12 && got[1] != 12 && got[2] != 12 {
		t.Errorf("dials for one key went to %v", got)
	}

	src.tell(resolver.Update{Changes: []resolver.Change{{Instance: all[0].Instance, Gone: true}, {Instance: all[2].Instance, Gone: true}}})
	if got = count(5, keyed); got[1] != 5 {
		t.Errorf("dials went to %v, want the one that is left", got)
	}
}
