package serval

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// serveName serves a name with a node of a cluster, which says hello with the
// name to everybody, and returns its address.
func serveName(t *testing.T, c *cluster, name string) (*Node, netip.AddrPort) {
	t.Helper()
	n := startNode(t, Config{Identity: c.join(t, "server")})
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
			io.WriteString(conn, name)
			conn.Close()
		}
	}()
	return n, n.sockets.addrs()[0]
}

// says dials and returns what the instance says.
func says(t *testing.T, n *Node, service string) string {
	t.Helper()
	conn, err := n.DialConn(t.Context(), "", service)
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

func addRule(t *testing.T, n *Node, r Rule) uint64 {
	t.Helper()
	id, err := n.AddRule(r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestForwardRule(t *testing.T) {
	c := newCluster(t)
	_, web := serveName(t, c, "svc:shop/web")
	_, rest := serveName(t, c, "*")
	n := startNode(t, Config{Identity: c.join(t, "client")})
	all := addRule(t, n, Rule{Service: "*", Action: servicetable.Forward, Next: []netip.AddrPort{rest}})
	addRule(t, n, Rule{Service: "shop/web", Action: servicetable.Forward, Next: []netip.AddrPort{web}})
	for service, want := range map[string]string{"svc:shop/web": "svc:shop/web", "svc:shop/cart": "*", "svc:db": "*"} {
		if got := says(t, n, service); got != want {
			t.Errorf("%s: %q, want %q", service, got, want)
		}
	}
	if err := n.RemoveRule(all); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Dial("svc:db"); !errors.Is(err, ErrNoService) {
		t.Errorf("without the default rule: %v", err)
	}
	if err := n.RemoveRule(all); !errors.Is(err, ErrNoRule) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestDropRule(t *testing.T) {
	c := newCluster(t)
	_, web := serveName(t, c, "svc:web")
	n := startNode(t, Config{Identity: c.join(t, "client")})
	addRule(t, n, Rule{Service: "svc:web", Action: servicetable.Forward, Next: []netip.AddrPort{web}})
	drop := addRule(t, n, Rule{Service: "svc:web", Action: servicetable.Drop, Priority: 1})
	if _, err := n.Dial("svc:web"); !errors.Is(err, ErrRefused) {
		t.Errorf("a rule drops it: %v", err)
	}
	n.RemoveRule(drop)
	if got := says(t, n, "svc:web"); got != "svc:web" {
		t.Error(got)
	}
}

func TestRulesAreListed(t *testing.T) {
	n := startNode(t, Config{})
	at := netip.MustParseAddrPort
	half := []sal.KeyPrefix{{Bits: 1}, {Key: 1 << 63, Bits: 2}}
	addRule(t, n, Rule{Service: "web.svc.serval", Action: servicetable.Drop, Keys: half, Expires: time.Now().Add(time.Hour)})
	addRule(t, n, Rule{Service: "svc:web", Action: servicetable.Forward, Priority: 2, Next: []netip.AddrPort{at("[::ffff:192.0.2.1]:1")}})
	addRule(t, n, Rule{Service: "*", Action: servicetable.Delay, Hook: Hook{Command: []string{"true"}}})
	rules := n.Rules()
	if len(rules) != 3 || rules[0].Service != "svc:*" || rules[1].Action != servicetable.Forward || rules[2].Service != "svc:web" {
		t.Fatalf("%+v", rules)
	}
	if rules[1].Next[0] != at("192.0.2.1:1") || !slices.Equal(rules[2].Keys, half) || rules[0].Hook.Command[0] != "true" {
		t.Errorf("%+v", rules)
	}
	rules[1].Next[0] = at("192.0.2.2:2") // is a copy
	if got := n.Rules()[1].Next[0]; got != at("192.0.2.1:1") {
		t.Errorf("a copy of a rule changed it: %v", got)
	}
	for _, r := range rules {
		n.RemoveRule(r.ID)
	}
	if n.services.Len() != 0 || len(n.Rules()) != 0 {
		t.Errorf("%d entries are left of %+v", n.services.Len(), n.Rules())
	}
}

func TestRuleLease(t *testing.T) {
	n := startNode(t, Config{})
	addRule(t, n, Rule{Service: "svc:web", Action: servicetable.Drop, Expires: time.Now().Add(50 * time.Millisecond)})
	if len(n.Rules()) != 1 {
		t.Error("it has ended already")
	}
	if !within(10*time.Second, func() bool { return n.services.Len() == 0 }) {
		t.Fatal("it does not end")
	}
}

func TestBadRules(t *testing.T) {
	n := startNode(t, Config{})
	next := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}
	hook := Hook{Command: []string{"true"}}
	for want, r := range map[string]Rule{
		"name":         {Service: "..", Action: servicetable.Drop},
		"action":       {Service: "svc:a"},
		"action ":      {Service: "svc:a", Action: servicetable.Demux},
		"0 addresses":  {Service: "svc:a", Action: servicetable.Forward},
		"17 addresses": {Service: "svc:a", Action: servicetable.Forward, Next: slices.Repeat(next, 17)},
		"reached at":   {Service: "svc:a", Action: servicetable.Forward, Next: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1")}},
		"leads":        {Service: "svc:a", Action: servicetable.Drop, Next: next},
		"only with":    {Service: "svc:a", Action: servicetable.Forward, Next: next, Hook: hook},
		"either":       {Service: "svc:a", Action: servicetable.Delay},
		"timeout":      {Service: "svc:a", Action: servicetable.Delay, Hook: Hook{Command: hook.Command, Timeout: time.Hour}},
		"weight":       {Service: "svc:a", Action: servicetable.Drop, Weight: 65536},
		"priority":     {Service: "svc:a", Action: servicetable.Drop, Priority: 1 << 16},
		"key prefix":   {Service: "svc:a", Action: servicetable.Drop, Keys: []sal.KeyPrefix{{Key: 1, Bits: 1}}},
		"wildcard":     {Service: "svc:a/*", Action: servicetable.Drop, Keys: []sal.KeyPrefix{{Bits: 1}}},
		"expired":      {Service: "svc:a", Action: servicetable.Drop, Expires: time.Now().Add(-time.Second)},
	} {
		if _, err := n.AddRule(r); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%+v: %v does not speak of %q", r, err, want)
		}
	}
	if n.services.Len() != 0 {
		t.Errorf("%d rules were added", n.services.Len())
	}
	n.Close()
	if _, err := n.AddRule(Rule{Service: "svc:a", Action: servicetable.Drop}); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed node: %v", err)
	}
}
