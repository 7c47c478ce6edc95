package serval

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// starter is a hook that starts an instance.
type starter struct {
	runs  atomic.Int32
	start func(service string) ([]netip.AddrPort, error)
	gate  chan struct{} // a run waits for it if not nil
}

func (s *starter) call(ctx context.Context, service string) ([]netip.AddrPort, time.Duration, error) {
	s.runs.Add(1)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	addrs, err := s.start(service)
	return addrs, time.Minute, err
}

func (s *starter) rule(service string) Rule {
	return Rule{Service: service, Action: servicetable.Delay, Hook: Hook{Call: s.call, Timeout: 20 * time.Second}}
}

// routed returns a client that knows nothing but a router, and the router.
func routed(t *testing.T, c *cluster) (client, router *Node) {
	router = startNode(t, Config{Identity: c.join(t, "router"), Forward: true})
	client = startNode(t, Config{Identity: c.join(t, "client")})
	addRule(t, client, Rule{Service: "*", Action: servicetable.Forward, Next: router.sockets.addrs()})
	return client, router
}

// Several dial at the same time what is not there: the hook at a router runs
// once, and all of them get through.
func TestRouterHolds(t *testing.T) {
	c := newCluster(t)
	_, at := serveName(t, c, "svc:web")
	for _, service := range []string{"svc:web", "*"} { // the name may not be known
		client, router := routed(t, c)
		s := &starter{gate: make(chan struct{}), start: func(asked string) ([]netip.AddrPort, error) {
			if want := sal.MustParseName(service).String(); asked != want {
				t.Errorf("asked for %s, want %s", asked, want)
			}
			return []netip.AddrPort{at}, nil
		}}
		delay := addRule(t, router, s.rule(service))
		var dialling sync.WaitGroup
		for range 3 {
			dialling.Go(func() {
				if got := says(t, client, "svc:web"); got != "svc:web" {
					t.Error(got)
				}
			})
		}
		eventually(t, "three are held", func() bool {
			router.waker.mu.Lock()
			defer router.waker.mu.Unlock()
			return router.waker.held == 3
		})
		close(s.gate)
		dialling.Wait()
		if got := says(t, client, "svc:web"); got != "svc:web" || s.runs.Load() != 1 {
			t.Errorf("%d runs; then %s", s.runs.Load(), got)
		}
		for _, r := range router.Rules() {
			if r.ID == delay && r.Packets < 3 || r.Action == servicetable.Forward && r.Packets < 4 {
				t.Errorf("counted %+v", r)
			}
		}
		client.Close()
		router.Close()
	}
}

// Who does not forward starts nothing elsewhere for packets from the network.
func TestHookNeedsForward(t *testing.T) {
	c := newCluster(t)
	other := startNode(t, Config{Identity: c.join(t, "other")})
	client := startNode(t, Config{Identity: c.join(t, "client")})
	addRule(t, client, Rule{Service: "*", Action: servicetable.Forward, Next: other.sockets.addrs()})
	addRule(t, other, Rule{Service: "*", Action: servicetable.Delay, Hook: Hook{Command: []string{"false"}}})
	if _, err := client.Dial("svc:web"); !errors.Is(err, ErrNoService) {
		t.Error(err)
	}
	if r := other.Rules()[0]; r.Packets != 0 {
		t.Errorf("used: %+v", r)
	}
}

// A hook that makes this very node serve the name.
func TestHookListens(t *testing.T) {
	c := newCluster(t)
	client, router := routed(t, c)
	s := &starter{start: func(service string) ([]netip.AddrPort, error) {
		l, err := router.Listen("svc:web")
		if err == nil {
			go func() {
				conn, err := l.Accept()
				if err == nil {
					conn.Close()
				}
			}()
		}
		return nil, err
	}}
	addRule(t, router, s.rule("svc:*"))
	if got := says(t, client, "svc:web"); got != "" || s.runs.Load() != 1 {
		t.Errorf("%q, %d runs", got, s.runs.Load())
	}
}

// A hook that fails is told of at once, and not run again for a while.
func TestHookFails(t *testing.T) {
	c := newCluster(t)
	client, router := routed(t, c)
	s := &starter{start: func(string) ([]netip.AddrPort, error) { return nil, errors.New("no room") }}
	addRule(t, router, s.rule("svc:web"))
	for range 2 {
		if _, err := client.Dial("svc:web"); !errors.Is(err, ErrNoService) {
			t.Errorf("error %v", err)
		}
	}
	if n := s.runs.Load(); n > 2 {
		t.Errorf("it ran %d times", n)
	}
	router.waker.mu.Lock()
	defer router.waker.mu.Unlock()
	if len(router.waker.setbacks) != 1 || router.waker.held != 0 || len(router.waker.wakings) != 0 {
		t.Errorf("%+v, %d held, %d wakings", router.waker.setbacks, router.waker.held, len(router.waker.wakings))
	}
}

// What leads somewhere under the same or a longer name comes first.
func TestDelayIsLast(t *testing.T) {
	c := newCluster(t)
	_, at := serveName(t, c, "svc:*")
	client, router := routed(t, c)
	s := &starter{start: func(string) ([]netip.AddrPort, error) { return nil, errors.New("needless") }}
	for _, service := range []string{"svc:shop/*", "svc:shop/web", "svc:*"} {
		addRule(t, router, s.rule(service))
	}
	forward := Rule{Service: "svc:shop/web", Action: servicetable.Forward, Priority: -5, Next: []netip.AddrPort{at}}
	addRule(t, router, forward)
	drop := Rule{Service: "svc:shop/cart", Action: servicetable.Drop}
	addRule(t, router, drop)
	if got := says(t, client, "svc:shop/web"); got != "svc:*" {
		t.Error(got)
	}
	if _, err := client.Dial("svc:shop/cart"); !errors.Is(err, ErrNoService) {
		t.Errorf("dropped: %v", err)
	}
	if n := s.runs.Load(); n != 0 {
		t.Errorf("hooks ran %d times", n)
	}
}

// A closed node ends its hooks and forgets what it held.
func TestCloseEndsHooks(t *testing.T) {
	c := newCluster(t)
	client, router := routed(t, c)
	s := &starter{gate: make(chan struct{}), start: func(string) ([]netip.AddrPort, error) { return nil, nil }}
	addRule(t, router, s.rule("svc:web"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := client.DialConn(ctx, "", "svc:web")
		done <- err
	}()
	eventually(t, "the hook runs", func() bool { return s.runs.Load() == 1 })
	router.Close() // hangs unless the hook ends
	cancel()
	if err := <-done; err == nil {
		t.Error("the dial succeeds")
	}
}

func TestWakerBounds(t *testing.T) {
	var w waker
	w.init()
	defer w.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	r := &rule{}
	run := func(*waking) {}
	key := func(i int) wakingKey { return wakingKey{r, sal.ServiceID{1, byte(i)}} }
	for i := range maxWakings {
		if _, err := w.begin(key(i), sal.Name{}, false, now, run); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.begin(key(maxWakings), sal.Name{}, false, now, run); !errors.Is(err, ErrRefused) {
		t.Errorf("one too many: %v", err)
	}
	g, err := w.begin(key(0), sal.Name{}, false, now, run)
	if err != nil || g != w.wakings[key(0)] {
		t.Errorf("who joins: %v", err)
	}
	for i := range maxHeld {
		for range 2 { // a repetition counts once
			if !w.hold(g, &answer{}, sal.FlowID(i+1)) {
				t.Fatalf("no room for packet %d", i)
			}
		}
	}
	if w.hold(g, &answer{}, maxHeld+1) {
		t.Error("there is room for one too many")
	}
}

func TestWakerPauses(t *testing.T) {
	var w waker
	w.init()
	defer w.close()
	now := time.Now()
	run := func(*waking) {}
	begin := func(now time.Time) (*waking, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.begin(wakingKey{rule: &theRule}, sal.Name{}, false, now, run)
	}
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		g, err := begin(now)
		if err != nil {
			t.Fatal(err)
		}
		g.err = because(ErrNoService, "no room")
		w.end(g, now)
		now = now.Add(pause*time.Second - 1)
		if _, err := begin(now); err == nil || !strings.Contains(err.Error(), "no room") {
			t.Errorf("before %v s: %v", pause, err)
		}
		now = now.Add(1)
	}
	g, _ := begin(now)
	w.end(g, now) // well
	if _, err := begin(now); err != nil || len(w.setbacks) != 0 {
		t.Errorf("after a success: %v, %d setbacks", err, len(w.setbacks))
	}
}

var theRule rule

// A hook that dials what it is to start does not wait for itself.
func TestHookDialsItsService(t *testing.T) {
	n := startNode(t, Config{})
	said := make(chan error, 1)
	addRule(t, n, Rule{Service: "svc:web", Action: servicetable.Delay, Hook: Hook{Call: func(ctx context.Context, service string) ([]netip.AddrPort, time.Duration, error) {
		_, err := n.DialConn(ctx, "", service)
		said <- err
		return nil, 0, errors.New("no room")
	}}})
	if _, err := n.Dial("svc:web"); !errors.Is(err, ErrNoService) || !strings.Contains(err.Error(), "no room") {
		t.Error(err)
	}
	if err := <-said; !errors.Is(err, ErrNoService) {
		t.Error("the hook's dial:", err)
	}
}

// The only instance has crashed: the dial that finds out has another started,
// which takes the place of the first.
func TestDialAwakensAgain(t *testing.T) {
	c := newCluster(t)
	_, at := serveName(t, c, "svc:web")
	client := startNode(t, Config{Identity: c.join(t, "client")})
	answers := make(chan netip.AddrPort, 2)
	answers <- netip.MustParseAddrPort("127.0.0.1:1") // nobody is there
	answers <- at
	s := &starter{start: func(string) ([]netip.AddrPort, error) { return []netip.AddrPort{<-answers}, nil }}
	addRule(t, client, s.rule("svc:web"))
	if got := says(t, client, "svc:web"); got != "svc:web" || s.runs.Load() != 2 {
		t.Errorf("%q after %d runs", got, s.runs.Load())
	}
	if rules := client.Rules(); len(rules) != 2 {
		t.Errorf("rules %+v", rules)
	}
}

// An instance that is said not to answer is well: the hook runs to no purpose, and
// the dial goes there all the same.
func TestDialTriesTheEjected(t *testing.T) {
	c := newCluster(t)
	_, at := serveName(t, c, "svc:web")
	known := &book{}
	known.add("svc:web", at)
	known.list[0].Suspect = true
	client := startNode(t, Config{Identity: c.join(t, "client"), Resolver: known})
	s := &starter{start: func(string) ([]netip.AddrPort, error) { return nil, nil }}
	addRule(t, client, s.rule("svc:*"))
	if got := says(t, client, "svc:web"); got != "svc:web" || s.runs.Load() != 1 {
		t.Errorf("%q after %d runs", got, s.runs.Load())
	}
}

// A dial of the node that has the rule: the instance makes itself known, or the
// hook says where it is.
func TestDialAwakens(t *testing.T) {
	c := newCluster(t)
	for _, tells := range []bool{false, true} {
		known := &book{}
		client := startNode(t, Config{Identity: c.join(t, "client"), Resolver: known})
		s := &starter{start: func(service string) ([]netip.AddrPort, error) {
			cfg := Config{Identity: c.join(t, "server")}
			if !tells {
				cfg.Registrar = known
			}
			server := startNode(t, cfg)
			l, err := server.Listen(service)
			if err != nil {
				return nil, err
			}
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Close()
				}
			}()
			if tells {
				return server.sockets.addrs(), nil
			}
			return nil, nil
		}}
		addRule(t, client, s.rule("*"))
		var dialling sync.WaitGroup
		for range 4 {
			dialling.Go(func() {
				if got := says(t, client, "svc:web"); got != "" {
					t.Error(got)
				}
			})
		}
		dialling.Wait()
		if n := s.runs.Load(); n != 1 {
			t.Errorf("it ran %d times", n)
		}
		in, err := client.Resolve(t.Context(), sal.MustParseName("svc:web"))
		if err != nil || len(in) != 1 || in[0].Rule != tells {
			t.Errorf("resolved %+v, %v", in, err)
		}
	}
}
