package identity

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mustGrant(t testing.TB, r *Root, g Grant) *Token {
	t.Helper()
	token, err := r.Grant(g, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustJoin(t testing.TB, token *Token, m Member) *Identity {
	t.Helper()
	id, err := token.Join(m, now)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantErr(t testing.TB, err, target error, words ...string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error = %v, want one that is %q", err, target)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// TestJoin walks the whole way: a cluster, a token as text, a node, a peer's check.
func TestJoin(t *testing.T) {
	root := NewRoot()
	token := mustGrant(t, root, Grant{
		Rights: Rights{Serve: []string{"web", "shop/*"}},
		Seeds:  []string{"192.0.2.1:7946", "[2001:db8::1]:7946"},
	})
	parsed, err := ParseToken(token.String())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(parsed.Seeds(), " "); got != "192.0.2.1:7946 [2001:db8::1]:7946" {
		t.Errorf("seeds = %s", got)
	}
	id := mustJoin(t, parsed, Member{Name: "büro-1"})
	peer, err := root.Cluster().Verify(id.Chain(), now)
	if err != nil {
		t.Fatal(err)
	}
	if peer.Node != id.Node() || peer.Name != "büro-1" || peer.Cluster != root.Cluster().ID() {
		t.Errorf("peer = %+v, want node %s", peer, id.Node())
	}
	if [32]byte(id.Static().PublicKey().Bytes()) != peer.Static {
		t.Error("the certificate does not carry the node's X25519 key")
	}
	if !peer.Expires.Equal(now.Add(defaultLifetime)) || !id.Expires().Equal(peer.Expires) {
		t.Errorf("expires %v, want a year from now", peer.Expires)
	}
	if len(id.Chain()) > MaxChain {
		t.Errorf("chain has %d bytes", len(id.Chain()))
	}
}

func TestRights(t *testing.T) {
	tests := []struct {
		granted, chosen []string
		name            string
		want            bool
	}{
		{nil, nil, "web", true},
		{nil, nil, "a/b/c", true},
		{[]string{}, nil, "web", false},
		{nil, []string{}, "web", false},
		{[]string{"web"}, nil, "web", true},
		{[]string{"web"}, nil, "webs", false},
		{[]string{"web"}, nil, "web/a", false},
		{[]string{"web"}, nil, "*", false},
		{[]string{"shop/*"}, nil, "shop/cart", true},
		{[]string{"shop/*"}, nil, "shop/cart/eu", true},
		{[]string{"shop/*"}, nil, "shop/*", true},
		{[]string{"shop/*"}, nil, "shopping/cart", false},
		{[]string{"shop/*"}, []string{"shop/cart"}, "shop/cart", true},
		{[]string{"shop/*"}, []string{"shop/cart"}, "shop/pay", false},
		{[]string{"shop/*"}, []string{"*"}, "web", false}, // a member cannot widen its grant
		{[]string{"shop/*"}, []string{"web"}, "web", false},
		{[]string{"a", "b"}, []string{"b", "c"}, "b", true},
		{[]string{"a", "b"}, []string{"b", "c"}, "c", false},
	}
	root := NewRoot()
	for _, tt := range tests {
		for _, dial := range []bool{false, true} {
			g, m := Rights{Serve: tt.granted}, Rights{Serve: tt.chosen}
			may := (*Peer).MayServe
			if dial {
				g, m, may = Rights{Dial: tt.granted}, Rights{Dial: tt.chosen}, (*Peer).MayDial
			}
			id := mustJoin(t, mustGrant(t, root, Grant{Rights: g}), Member{Rights: m})
			peer, err := root.Cluster().Verify(id.Chain(), now)
			if err != nil {
				t.Fatal(err)
			}
			if got := may(&peer, sal.MustParseName(tt.name)); got != tt.want {
				t.Errorf("granted %q, chosen %q, dial %v: %s allowed = %v, want %v", tt.granted, tt.chosen, dial, tt.name, got, tt.want)
			}
		}
	}
}

// TestZeroPeer: what was never verified may do nothing.
func TestZeroPeer(t *testing.T) {
	var p Peer
	if web := sal.MustParseName("web"); p.MayDial(web) || p.MayServe(web) || p.VerifyRecord(nil, nil) || p.Valid(now) == nil {
		t.Error("the zero Peer has rights")
	}
}

func TestBadGrants(t *testing.T) {
	root := NewRoot()
	long := make([]string, 8)
	for i := range long {
		long[i] = strings.Repeat("x", 40) + string(rune('a'+i))
	}
	for _, g := range []Grant{
		{Rights: Rights{Serve: []string{"no such*"}}},
		{Rights: Rights{Dial: []string{"a/*/b"}}},
		{Rights: Rights{Dial: make([]string, maxPatterns+1)}},
		{Rights: Rights{Serve: long}},
		{Seeds: []string{"nowhere"}},
		{Seeds: []string{"host:0"}},
		{Seeds: make([]string, maxSeeds+1)},
	} {
		if _, err := root.Grant(g, now); err == nil {
			t.Errorf("Grant(%+v) succeeded", g)
		}
	}
	token := mustGrant(t, root, Grant{})
	for _, m := range []Member{
		{Name: strings.Repeat("x", maxMemberName+1)},
		{Name: "a\nb"},
		{Name: "a\xff"},
		{Rights: Rights{Serve: []string{"-"}}},
		{Rights: Rights{Serve: long}},
	} {
		if _, err := token.Join(m, now); err == nil {
			t.Errorf("Join(%+v) succeeded", m)
		}
	}
}

func TestRenew(t *testing.T) {
	root := NewRoot()
	id := mustJoin(t, mustGrant(t, root, Grant{Lifetime: time.Hour}), Member{Name: "n", Rights: Rights{Serve: []string{"web"}}})
	later := now.Add(2 * time.Hour)
	token, err := root.Grant(Grant{}, later)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := id.Renew(token, later)
	if err != nil {
		t.Fatal(err)
	}
	p := renewed.Peer()
	if renewed.Node() != id.Node() || p.Name != "n" || !p.MayServe(sal.MustParseName("web")) || p.MayServe(sal.MustParseName("shop")) {
		t.Errorf("renewed identity differs: %+v", p)
	}
	if _, err := root.Cluster().Verify(renewed.Chain(), later); err != nil {
		t.Error(err)
	}
	other := mustGrant(t, NewRoot(), Grant{})
	_, err = id.Renew(other, now)
	wantErr(t, err, ErrWrongCluster, other.Cluster().ID().Short(), id.Cluster().ID().Short())
}

func TestRecords(t *testing.T) {
	id, _, err := Ephemeral(now)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := Ephemeral(now)
	if err != nil {
		t.Fatal(err)
	}
	record := []byte("web at 192.0.2.1")
	sig := id.Sign(record)
	p, q := id.Peer(), other.Peer()
	if !p.VerifyRecord(record, sig) {
		t.Error("a good signature was rejected")
	}
	if p.VerifyRecord([]byte("web at 192.0.2.2"), sig) || q.VerifyRecord(record, sig) || p.VerifyRecord(record, sig[1:]) {
		t.Error("a bad signature was accepted")
	}
}

func TestSecrets(t *testing.T) {
	root := NewRoot()
	token := mustGrant(t, root, Grant{})
	a, b := mustJoin(t, token, Member{}), mustJoin(t, token, Member{})
	if a.Cluster().GossipKey() != b.Cluster().GossipKey() {
		t.Error("two members have different gossip keys")
	}
	if a.Cluster().GossipKey() == NewRoot().Cluster().GossipKey() {
		t.Error("two clusters have the same gossip key")
	}
	again := a.Secret("x")
	if a.Secret("x") != again || again == a.Secret("y") || again == b.Secret("x") {
		t.Error("Secret is not one for each node and label")
	}
}

func TestNodeID(t *testing.T) {
	id := NodeID{0: 1, 15: 0xff}
	s := id.String()
	if len(s) != 26 || len(id.Short()) != 8 {
		t.Fatalf("String() = %q, Short() = %q", s, id.Short())
	}
	for _, text := range []string{s, strings.ToUpper(s)} {
		if got, err := ParseNodeID(text); err != nil || got != id {
			t.Errorf("ParseNodeID(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", s[1:], s + "a", "1" + s[1:], s[:25] + "b"} {
		if _, err := ParseNodeID(text); err == nil {
			t.Errorf("ParseNodeID(%q) succeeded", text)
		}
	}
}
