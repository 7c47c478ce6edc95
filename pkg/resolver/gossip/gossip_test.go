package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

var (
	web = sal.MustParseName("svc:web")
	ctx = context.Background()
)

// TestMain checks that no goroutine outlives the tests, but for the last probe
// of each memberlist, which takes a few seconds to give up.
func TestMain(m *testing.M) {
	code := m.Run()
	var left []string
	for range 100 {
		if left = goroutines(); len(left) == 0 {
			os.Exit(code)
		}
		<-time.After(100 * time.Millisecond)
	}
	os.Stderr.WriteString("goroutines left over:\n" + strings.Join(left, "\n\n"))
	os.Exit(1)
}

// goroutines returns the stacks that code of this package started.
func goroutines() []string {
	buf := make([]byte, 1<<24)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	return slices.DeleteFunc(all, func(g string) bool {
		return !strings.Contains(g, "memberlist") && !strings.Contains(g, "gossip.") || strings.Contains(g, "TestMain")
	})
}

func newToken(t testing.TB) *identity.Token {
	t.Helper()
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newIdentity(t testing.TB, token *identity.Token) *identity.Identity {
	t.Helper()
	id, err := token.Join(identity.Member{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func start(t testing.TB, cfg Config) *Gossip {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// cluster is some nodes that know each other.
type cluster struct {
	nodes []*Gossip
	hosts []*memoryHost
}

func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	token, network, c := newToken(t), new(memory), new(cluster)
	for range n {
		h := network.host()
		cfg := Config{Identity: newIdentity(t, token), open: h.open}
		if len(c.hosts) > 0 {
			cfg.Seeds = []string{c.hosts[0].addr.String()}
		}
		c.hosts = append(c.hosts, h)
		c.nodes = append(c.nodes, start(t, cfg))
	}
	var stopping sync.WaitGroup // the cleanups, one by one, would take long
	t.Cleanup(func() {
		for _, g := range c.nodes {
			stopping.Go(func() { g.Close() })
		}
		stopping.Wait()
	})
	for _, g := range c.nodes {
		waitFor(t, "members", nil, func() bool { return len(g.Members()) == n })
	}
	return c
}

// waitFor waits until the condition holds. It looks when something happens, and
// now and then in case it is something that is not told.
func waitFor(t testing.TB, what string, news <-chan struct{}, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-news:
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func (c *cluster) waitAll(t testing.TB, service sal.Name, instances int) {
	t.Helper()
	for _, g := range c.nodes {
		news, stop := g.Watch()
		waitFor(t, "instances", news, func() bool {
			found, err := g.Resolve(ctx, service)
			return len(found) == instances && (err == nil) == (instances > 0)
		})
		stop()
	}
}

func register(t testing.TB, g *Gossip, service sal.Name, ttl time.Duration) resolver.Lease {
	t.Helper()
	l, err := g.Register(ctx, resolver.Registration{
		Service:  service,
		Identity: g.id,
		Addrs:    []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001")},
		TTL:      ttl,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rank has some nodes serve web, the last of them with the largest priority, and
// waits until all know.
func (c *cluster) rank(t testing.TB, nodes ...int) {
	t.Helper()
	for priority, i := range nodes {
		reg := resolver.Registration{Service: web, Identity: c.nodes[i].id, Priority: priority, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001")}}
		if _, err := c.nodes[i].Register(ctx, reg); err != nil {
			t.Fatal(err)
		}
	}
	c.waitAll(t, web, len(nodes))
}

func TestRegisterAndWithdraw(t *testing.T) {
	c := newCluster(t, 5)
	a, b := register(t, c.nodes[1], web, 0), register(t, c.nodes[2], web, 0)
	c.waitAll(t, web, 2)
	if _, err := c.nodes[1].Register(ctx, resolver.Registration{Service: web, Identity: c.nodes[1].id, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001")}}); err == nil {
		t.Error("a service was registered twice")
	}
	a.Close(ctx)
	c.waitAll(t, web, 1)
	a.Close(ctx) // again
	register(t, c.nodes[1], web, 0)
	c.waitAll(t, web, 2)
	b.Close(ctx)
	c.waitAll(t, web, 1)
	if found, _ := c.nodes[4].Resolve(ctx, web); found[0].Node != c.nodes[1].id.Node() {
		t.Errorf("found %v", found)
	}
}

// TestCloseWithdraws: who stops in good order is gone at once.
func TestCloseWithdraws(t *testing.T) {
	c := newCluster(t, 4)
	register(t, c.nodes[3], web, 0)
	c.waitAll(t, web, 1)
	c.nodes[3].Close()
	c.nodes = c.nodes[:3]
	c.waitAll(t, web, 0)
	for _, g := range c.nodes {
		waitFor(t, "departure", nil, func() bool { return len(g.Members()) == 3 })
	}
}

func TestClosed(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	l := register(t, g, web, 0)
	g.Close()
	g.Close()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := g.Register(ctx, resolver.Registration{Service: web}); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if err := g.Publish(ctx, nil); !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

// TestRenewal: a lease outlives its TTL while it is kept, and a crashed node's
// does not.
func TestRenewal(t *testing.T) {
	c := newCluster(t, 3)
	register(t, c.nodes[1], web, resolver.MinTTL)
	c.waitAll(t, web, 1)
	first, _ := c.nodes[0].Resolve(ctx, web)
	waitFor(t, "renewals", nil, func() bool {
		found, err := c.nodes[0].Resolve(ctx, web)
		return err == nil && found[0].Expires.After(first[0].Expires.Add(resolver.MinTTL))
	})
	c.hosts[1].set(false)
	c.nodes = []*Gossip{c.nodes[0], c.nodes[2]}
	c.waitAll(t, web, 0)
}

// TestDeadMemberComesLast: what gossip believes of a node orders candidates and
// hides none.
func TestDeadMemberComesLast(t *testing.T) {
	c := newCluster(t, 3)
	c.rank(t, 1, 2)
	firstIs := func(i int) bool {
		found, err := c.nodes[0].Resolve(ctx, web)
		return err == nil && len(found) == 2 && found[0].Node == c.nodes[i].id.Node()
	}
	if !firstIs(2) {
		t.Error("the larger priority is not first")
	}
	c.hosts[2].set(false)
	waitFor(t, "suspicion", nil, func() bool { return firstIs(1) })
}

// TestLateJoiner gets what was said before it came, withdrawals too.
func TestLateJoiner(t *testing.T) {
	token, network := newToken(t), new(memory)
	h := network.host()
	first := start(t, Config{Identity: newIdentity(t, token), open: h.open})
	register(t, first, web, 0)
	shop := sal.MustParseName("shop")
	register(t, first, shop, 0).Close(ctx)
	late := start(t, Config{Identity: newIdentity(t, token), open: network.host().open, Seeds: []string{h.addr.String()}})
	if found, err := late.Resolve(ctx, web); err != nil || len(found) != 1 {
		t.Errorf("the first Resolve gives %v, %v", found, err)
	}
	if found, err := late.Resolve(ctx, shop); !errors.Is(err, resolver.ErrNoService) {
		t.Errorf("shop is at %v, %v", found, err)
	}
	if n := len(late.Records()); n != 2 {
		t.Errorf("%d records", n)
	}
}

// TestSeedComesLater: a node that starts before its seed finds it.
func TestSeedComesLater(t *testing.T) {
	token, network := newToken(t), new(memory)
	h := network.host()
	early := start(t, Config{Identity: newIdentity(t, token), open: network.host().open, Seeds: []string{h.addr.String()}})
	if _, err := early.Resolve(ctx, web); !errors.Is(err, resolver.ErrNoService) {
		t.Error(err)
	}
	register(t, start(t, Config{Identity: newIdentity(t, token), open: h.open}), web, 0)
	news, stop := early.Watch()
	defer stop()
	waitFor(t, "the seed", news, func() bool { _, err := early.Resolve(ctx, web); return err == nil })
}

// TestForeigners: another cluster's nodes get in neither by gossip nor by record.
func TestForeigners(t *testing.T) {
	network := new(memory)
	h := network.host()
	ours := start(t, Config{Identity: newIdentity(t, newToken(t)), open: h.open})
	theirs := start(t, Config{Identity: newIdentity(t, newToken(t)), open: network.host().open, Seeds: []string{h.addr.String()}})
	register(t, theirs, web, 0)
	<-theirs.Joined()
	if n := len(ours.Members()); n != 1 {
		t.Errorf("%d members", n)
	}
	record := theirs.Records()[0]
	if err := ours.Publish(ctx, record); !errors.Is(err, resolver.ErrRecord) {
		t.Errorf("a foreign record: %v", err)
	}
	ours.member().NotifyMsg(record)
	ours.member().MergeRemoteState(theirs.member().LocalState(false), true)
	if found, err := ours.Resolve(ctx, web); !errors.Is(err, resolver.ErrNoService) {
		t.Errorf("web is at %v, %v", found, err)
	}
}

func TestSockets(t *testing.T) {
	token := newToken(t)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	first := start(t, Config{Identity: newIdentity(t, token), Logger: log})
	if !first.Addr().Addr().IsLoopback() || first.Addr().Port() == 0 {
		t.Errorf("without seeds it binds to %v", first.Addr())
	}
	second := start(t, Config{Identity: newIdentity(t, token), Logger: log, Seeds: []string{first.Addr().String()}})
	register(t, first, web, 0)
	news, stop := second.Watch()
	defer stop()
	waitFor(t, "web", news, func() bool { _, err := second.Resolve(ctx, web); return err == nil })

	_, err := New(Config{Identity: newIdentity(t, token), Bind: first.Addr()})
	if err == nil || !strings.Contains(err.Error(), first.Addr().String()) || !strings.Contains(err.Error(), "choose another") {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("gossip without an identity")
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte{0, 1, 7, 0, 0, 0, 2, 8, 9})
	f.Add([]byte{255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := eachRecord(b, 100, func(r []byte) { n += 2 + len(r) })
		if n > len(b) || err == nil && n != len(b) {
			t.Errorf("%d of %d bytes were records", n, len(b))
		}
	})
}

// TestLimits: a node takes no more than it was told to, also of what others hold.
func TestLimits(t *testing.T) {
	c := newCluster(t, 1)
	g := c.nodes[0]
	g.SetLimits(resolver.Limits{Records: 2, PerNode: 10})
	for i := range 3 {
		_, err := g.Register(context.Background(), resolver.Registration{Service: sal.MustParseName(fmt.Sprintf("svc:limit-%d", i)),
			Identity: g.id, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}})
		if full := errors.Is(err, resolver.ErrFull); full != (i == 2) {
			t.Errorf("registration %d: %v", i, err)
		}
	}
	state := g.member().LocalState(true)
	records := 0
	if err := eachRecord(state, 2, func([]byte) { records++ }); err != nil || records != 2 {
		t.Errorf("the state has %d records, %v", records, err)
	}
	if err := eachRecord(state, 1, func([]byte) {}); err == nil {
		t.Error("a state of too many records is taken for a good one")
	}
	if some := g.Some(len(state) - 5); len(some) != 1 {
		t.Errorf("%d records are what one has room for", len(some))
	}
}
