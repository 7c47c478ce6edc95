package daemon

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
)

func newConfig(t *testing.T, token *identity.Token) Config {
	t.Helper()
	id, err := token.Join(identity.Member{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "serval") // a short path: that of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Config{Identity: id, Token: token, Socket: filepath.Join(dir, "s"), Gossip: netip.MustParseAddrPort("127.0.0.1:0")}
}

func newToken(t *testing.T) *identity.Token {
	t.Helper()
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// start runs a daemon until the test ends.
func start(t *testing.T, cfg Config) Status {
	t.Helper()
	s, _ := run(t, cfg)
	return s
}

// run is start for a daemon that can be stopped before the test ends.
func run(t *testing.T, cfg Config) (Status, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan Status, 1), make(chan error, 1)
	go func() { done <- Run(ctx, cfg, func(s Status) { ready <- s }) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
		if _, err := os.Stat(cfg.Socket); err == nil {
			t.Error("the socket is left behind")
		}
	}
	select {
	case err := <-done:
		cancel()
		t.Fatal(err)
		return Status{}, nil
	case s := <-ready:
		t.Cleanup(stop)
		return s, stop
	}
}

// Two hosts: what is registered at one is found at the other.
func TestTwoDaemons(t *testing.T) {
	token := newToken(t)
	one, two := newConfig(t, token), newConfig(t, token)
	gossip := start(t, one).Gossip
	two.Seeds = []string{gossip}
	remembered := make(chan []string, 1)
	two.Remember = func(peers []string) error { remembered <- peers; return nil }
	t.Cleanup(func() { // after it has stopped
		if peers := <-remembered; !slices.Equal(peers, []string{gossip}) {
			t.Errorf("remembered %q", peers)
		}
	})
	start(t, two)
	first, second := control.NewClient(one.Socket), control.NewClient(two.Socket)
	defer first.Close()
	defer second.Close()

	id, err := identity.Request(identity.Member{}, time.Now(), func(request []byte) ([]byte, error) {
		return first.Certify(t.Context(), request)
	})
	if err != nil {
		t.Fatal(err)
	}
	web := sal.MustParseName("svc:web")
	lease, err := first.Register(t.Context(), resolver.Registration{Service: web, Identity: id,
		Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:4000")}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		found, err := second.Resolve(t.Context(), web)
		if err == nil {
			if len(found) != 1 || found[0].Node != id.Node() {
				t.Errorf("found %+v", found)
			}
			break
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	var s Status
	if err := second.Status(t.Context(), &s); err != nil || len(s.Members) != 2 || s.Node != two.Identity.Node().String() {
		t.Errorf("status %+v, %v", s, err)
	}
	if err := lease.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSecondDaemonOnASocket(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	start(t, cfg)
	err := Run(t.Context(), cfg, func(Status) { t.Error("a second daemon is ready") })
	if err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAToken(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	cfg.Token = nil
	start(t, cfg)
	c := control.NewClient(cfg.Socket)
	defer c.Close()
	if _, err := c.Certify(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "SERVAL_TOKEN") {
		t.Errorf("got %v", err)
	}
}

func TestExpiredMembership(t *testing.T) {
	token, err := identity.NewRoot().Grant(identity.Grant{Lifetime: time.Minute}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	id, err := token.Join(identity.Member{}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Identity: id, Socket: filepath.Join(t.TempDir(), "s")}
	if err := Run(t.Context(), cfg, func(Status) {}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v", err)
	}
}
