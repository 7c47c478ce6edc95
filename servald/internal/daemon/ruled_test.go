package daemon

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// process returns the only process that uses Serval so far, which is the daemon.
func process(t *testing.T, cfg Config) *nodectl.Client {
	t.Helper()
	clients, err := nodectl.List(t.Context(), nodectl.Dir(cfg.Socket))
	if err != nil || len(clients) != 1 {
		t.Fatalf("the processes are %+v, %v", clients, err)
	}
	return clients[0]
}

// program starts a node as a program of the daemon's host has one.
func program(t *testing.T, cfg Config) *serval.Node {
	t.Helper()
	client := control.NewClient(cfg.Socket)
	t.Cleanup(func() { client.Close() })
	id, err := identity.Request(identity.Member{}, time.Now(), func(request []byte) ([]byte, error) {
		return client.Certify(t.Context(), request)
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := serval.NewNode(serval.Config{Identity: id, Resolver: client, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// says serves a name, and says what it is told to everybody.
func says(t *testing.T, n *serval.Node, name, what string) *serval.Listener {
	t.Helper()
	l, err := n.Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, what)
			conn.Close()
		}
	}()
	return l
}

func hear(t *testing.T, n *serval.Node, service string) string {
	conn, err := n.Dial(service)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// The rules of the daemon hold for dials of its host's programs.
func TestRules(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	node := start(t, cfg).Node
	daemon := process(t, cfg)
	if daemon.Node != node {
		t.Fatalf("the daemon is not among the processes: %+v", daemon)
	}
	add := func(r nodectl.Rule) uint64 {
		t.Helper()
		id, err := daemon.AddRule(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	client, server, other := program(t, cfg), program(t, cfg), program(t, cfg)
	says(t, server, "svc:web", "registered")
	at := says(t, other, "svc:*", "rule").Addr().(*serval.Addr).Underlay

	if got := hear(t, client, "svc:web"); got != "registered" {
		t.Error("without a rule:", got)
	}
	// The longer name wins, then the rule.
	add(nodectl.Rule{Service: "*", Action: nodectl.Forward, Next: []netip.AddrPort{at}})
	if got := hear(t, client, "svc:web"); got != "registered" {
		t.Error("with a default rule:", got)
	}
	web := add(nodectl.Rule{Service: "svc:web", Action: nodectl.Forward, Next: []netip.AddrPort{at}})
	if got := hear(t, client, "svc:web"); got != "rule" {
		t.Error("with a rule for the name:", got)
	}
	drop := add(nodectl.Rule{Service: "svc:web", Action: nodectl.Drop, Priority: 1})
	if _, err := client.Dial("svc:web"); !errors.Is(err, serval.ErrRefused) {
		t.Error("dropped:", err)
	}
	for _, id := range []uint64{web, drop} {
		if n, err := daemon.RemoveRules(t.Context(), nodectl.RuleSelection{ID: id}); n != 1 || err != nil {
			t.Error(n, err)
		}
	}
	if got := hear(t, client, "svc:web"); got != "registered" {
		t.Error("without a rule again:", got)
	}
}

// Programs dial what is not there: the daemon's hook starts it, once.
func TestScaleFromZero(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	start(t, cfg)
	daemon := process(t, cfg)
	dir := t.TempDir()
	mark := filepath.Join(dir, "asked")
	rule := nodectl.Rule{Service: "svc:fn/*", Action: nodectl.Delay, Hook: &hook.Hook{Command: []string{"sh", "-c", `echo "$SERVAL_SERVICE" >>"$0"`, mark}}}
	if _, err := daemon.AddRule(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	one, two, server := program(t, cfg), program(t, cfg), program(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	defer starting.Wait()
	defer cancel()
	starting.Go(func() { // in place of what the command would start
		for ctx.Err() == nil {
			if _, err := os.Stat(mark); err == nil {
				says(t, server, "svc:fn/resize", "started")
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	var dialling sync.WaitGroup
	for _, n := range []*serval.Node{one, two, one} {
		dialling.Go(func() {
			if got := hear(t, n, "svc:fn/resize"); got != "started" {
				t.Error(got)
			}
		})
	}
	dialling.Wait()
	if b, err := os.ReadFile(mark); err != nil || string(b) != "svc:fn/resize\n" {
		t.Errorf("the hook was asked %q, %v", b, err)
	}
}

// Who only asks whether there is a service, as DNS does, starts nothing.
func TestKnown(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	start(t, cfg)
	mark := filepath.Join(t.TempDir(), "asked")
	rule := nodectl.Rule{Service: "svc:fn/*", Action: nodectl.Delay, Hook: &hook.Hook{Command: []string{"touch", mark}}}
	if _, err := process(t, cfg).AddRule(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	n := program(t, cfg)
	says(t, n, "svc:web", "")
	for name, want := range map[string]bool{"svc:fn/resize": true, "svc:web": true, "svc:nobody": false} {
		if got, err := program(t, cfg).Known(t.Context(), sal.MustParseName(name)); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the hook has run")
	}
}

// What a hook complains reaches who dials.
func TestHookFails(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	start(t, cfg)
	daemon := process(t, cfg)
	rule := nodectl.Rule{Service: "svc:fn/*", Action: nodectl.Delay, Hook: &hook.Hook{Command: []string{"sh", "-c", "echo the cloud is full >&2; exit 1"}}}
	if _, err := daemon.AddRule(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	_, err := program(t, cfg).Dial("svc:fn/resize")
	if !errors.Is(err, serval.ErrNoService) || !strings.Contains(err.Error(), "the cloud is full") {
		t.Error(err)
	}
}
