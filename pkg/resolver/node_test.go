package resolver

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

var somewhere = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001"), netip.MustParseAddrPort("[2001:db8::1]:7001")}

// TestNodeRecords: a node that may serve nothing else may say where it is, and
// one that may serve everything may not say where another is.
func TestNodeRecords(t *testing.T) {
	ids := newCluster(t, "web", "*")
	now := time.Now()
	own := Registration{Service: NodeName(ids[0].Node()), Identity: ids[0], Addrs: somewhere}
	r, err := own.Announce(now)
	raw := mustRecord(t, r, err).Raw()
	if own.Service.IsWildcard() || !strings.HasPrefix(own.Service.String(), "svc:node/") {
		t.Errorf("name %v", own.Service)
	}

	forged := bytes.Replace(raw[:len(raw)-signatureLen], chainOf(ids[0]), chainOf(ids[1]), 1)
	forged = append(forged, ids[1].Sign(forged)...)
	if _, err := ParseRecord(forged, ids[0].Cluster(), now); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), "may not serve") {
		t.Errorf("another's record: %v", err)
	}
	for _, name := range []string{own.Service.String(), own.Service.String() + "/web", "svc:node/*", "svc:node/x"} {
		reg := Registration{Service: sal.MustParseName(name), Identity: ids[1], Addrs: somewhere}
		if _, err := reg.Announce(now); err == nil || !strings.Contains(err.Error(), "reserved") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Registration{Service: sal.MustParseName("svc:node"), Identity: ids[1], Addrs: somewhere}).Announce(now); err != nil {
		t.Error("svc:node is nothing special, but", err)
	}
}

func TestLookupNode(t *testing.T) {
	ids := newCluster(t, "web", "*")
	node, other := ids[0].Node(), ids[1].Node()
	d := NewDirectory(ids[0].Cluster())
	for _, reg := range []Registration{
		registration(ids[0]),
		{Service: sal.MustParseName("*"), Identity: ids[1], Addrs: somewhere}, // stands for no node
		{Service: NodeName(node), Identity: ids[0], Addrs: somewhere},
	} {
		announce(t, d, reg)
	}
	line := NewStatic(Instance{Service: web, Node: node, Addrs: somewhere[:1]}, Instance{Service: NodeName(node), Addrs: somewhere})
	for _, c := range []struct {
		name string
		r    Resolver
		want []netip.AddrPort
	}{
		{"directory", d, somewhere},
		{"cache", &Cache{Resolver: d}, somewhere},
		{"chain", Chain{NewStatic(), d}, somewhere},
		{"static, by its service", NewStatic(Instance{Service: web, Node: node, Addrs: somewhere}), somewhere},
		{"static, by its own line", line, somewhere},
		{"another", &fake{found: []Instance{{Service: sal.MustParseName("*"), Node: other, Addrs: somewhere}}}, nil},
	} {
		got, err := LookupNode(context.Background(), c.r, node)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		if _, err := LookupNode(context.Background(), c.r, identity.NodeID{1}); !errors.Is(err, ErrNoService) {
			t.Errorf("%s: a stranger: %v", c.name, err)
		}
	}
	for _, l := range []Lister{d, line} {
		all, err := l.Services(context.Background())
		if err != nil || slices.ContainsFunc(all, func(in Instance) bool { return isNode(in.Service) }) {
			t.Errorf("listed: %v, %v", all, err)
		}
	}
}

// TestRenews: only a record that says nothing new renews.
func TestRenews(t *testing.T) {
	id := newCluster(t, "*")[0]
	d, now := NewDirectory(id.Cluster()), time.Now()
	reg := registration(id)
	add := func(r *Record, err error) *Record {
		t.Helper()
		got, err := d.Add(mustRecord(t, r, err).Raw(), now)
		if got == nil || err != nil {
			t.Fatal("no news:", err)
		}
		return got
	}
	at := func(n int) time.Time { return now.Add(time.Duration(n)) }
	first, again := add(reg.Announce(at(0))), add(reg.Announce(at(1)))
	reg.Addrs = reg.Addrs[:1]
	moved, gone := add(reg.Announce(at(2))), add(reg.Withdraw(at(3)))
	back := add(reg.Announce(at(4)))
	if first.Renews() || !again.Renews() || moved.Renews() || gone.Renews() || back.Renews() {
		t.Error("first, again, moved, gone, back:", first.Renews(), again.Renews(), moved.Renews(), gone.Renews(), back.Renews())
	}
}
