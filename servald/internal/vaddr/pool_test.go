package vaddr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

var (
	web  = sal.MustParseName("svc:web")
	cart = sal.MustParseName("svc:shop/cart")
)

// clock is a time that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newPool(t testing.TB, prefix string) (*Pool, *clock) {
	t.Helper()
	c := &clock{time.Now()}
	p, err := Open("", Config{V4: netip.MustParsePrefix(prefix), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func nth(i int) sal.Name { return sal.MustParseName(fmt.Sprintf("svc:n/%d", i)) }

// TestIPv6 fixes the addresses: others would part old hosts from new.
func TestIPv6(t *testing.T) {
	for name, want := range map[string]string{
		"svc:web":          "fd5e:7276:616c:c44d:58f8:3131:9f6e:e2e",
		"svc:shop/cart":    "fd5e:7276:616c:260f:bc3c:6463:1bbe:2a69",
		"svc:shop/cart/eu": "fd5e:7276:616c:ebaf:cef3:9aca:33c6:7742",
	} {
		if got := IPv6(sal.MustParseName(name)); got.String() != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, name := range []sal.Name{{}, sal.MustParseName("svc:shop/*")} {
		if a := IPv6(name); a.IsValid() {
			t.Errorf("%v has the address %v", name, a)
		}
	}
	own := netip.PrefixFrom(Self6, 64).Masked()
	for i := range 100_000 {
		if a := IPv6(nth(i)); !Prefix6.Contains(a) || own.Contains(a) {
			t.Fatalf("%v has the address %v", nth(i), a)
		}
	}
}

func TestAddrs(t *testing.T) {
	p, _ := newPool(t, "198.18.0.0/15")
	v4, v6, err := p.Addrs(web)
	if err != nil || !p.Prefix4().Contains(v4) || v6 != IPv6(web) {
		t.Fatal(v4, v6, err)
	}
	if again, _, _ := p.Addrs(web); again != v4 {
		t.Errorf("another address, %v, after %v", again, v4)
	}
	if other, _, _ := p.Addrs(cart); other == v4 {
		t.Error("two services have one address")
	}
	for _, a := range []netip.Addr{v4, v6, netip.AddrFrom16(v4.As16()), v6.WithZone("eth0")} {
		if name, ok := p.Name(a); !ok || name != web {
			t.Errorf("%v is %v, %v", a, name, ok)
		}
		if !p.Contains(a) {
			t.Errorf("%v is not virtual", a)
		}
	}
	self4, self6 := p.Self()
	for _, a := range []netip.Addr{self4, self6, netip.MustParseAddr("192.0.2.1"), {}} {
		if name, ok := p.Name(a); ok {
			t.Errorf("%v is %v", a, name)
		}
		p.Hold(a)()
	}
	if !p.Contains(self4) || !p.Contains(self6) || p.Contains(netip.MustParseAddr("192.0.2.1")) || p.Contains(netip.Addr{}) {
		t.Error("what is virtual?")
	}
	for _, name := range []sal.Name{{}, sal.MustParseName("svc:*")} {
		if v4, v6, err := p.Addrs(name); err == nil {
			t.Errorf("%v has %v and %v", name, v4, v6)
		}
		p.Learn(name)
	}
	if all, given := p.Capacity(); all != 1<<17-3 || given != 2 {
		t.Errorf("%d of %d", given, all)
	}
}

// The search starts where the name says, so that most services get the same address
// again even when all is forgotten.
func TestStable(t *testing.T) {
	one, _ := newPool(t, "198.18.0.0/15")
	two, _ := newPool(t, "198.18.0.0/15")
	same := 0
	for i := range 1000 {
		a, _, _ := one.Addrs(nth(i))
		b, _, _ := two.Addrs(nth(999 - i))
		c, _, _ := two.Addrs(nth(i))
		if a == c {
			same++
		}
		_ = b
	}
	if same < 950 {
		t.Errorf("only %d of 1000 have the same", same)
	}
}

func TestFull(t *testing.T) {
	p, c := newPool(t, "10.0.0.0/28")
	seen := make(map[netip.Addr]sal.Name)
	first, last := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.14")
	for i := range 13 {
		v4, _, err := p.Addrs(nth(i))
		if err != nil || seen[v4] != (sal.Name{}) || v4.Less(first) || last.Less(v4) {
			t.Fatalf("number %d: %v, %v", i, v4, err)
		}
		seen[v4] = nth(i)
		c.at = c.at.Add(time.Minute)
	}
	v4, v6, err := p.Addrs(web)
	if !errors.Is(err, ErrFull) || v4.IsValid() || v6 != IPv6(web) {
		t.Errorf("one too many: %v, %v, %v", v4, v6, err)
	}
	if name, ok := p.Name(v6); !ok || name != web {
		t.Errorf("its IPv6 address is %v", name)
	}

	// A day later, those that nobody has used or holds can be had.
	c.at = c.at.Add(Rest - 13*time.Minute - time.Second)
	if _, _, err := p.Addrs(web); !errors.Is(err, ErrFull) {
		t.Errorf("too early: %v", err)
	}
	c.at = c.at.Add(2 * time.Second)
	a0, _, _ := p.Addrs(nth(0)) // used again
	a1, _, _ := p.Addrs(nth(1))
	release := p.Hold(a1)
	c.at = c.at.Add(Rest / 2)
	p.Name(a0)
	c.at = c.at.Add(Rest / 2)
	oldest := nth(2)
	v4, _, err = p.Addrs(web)
	if err != nil || seen[v4] != oldest {
		t.Errorf("it gets that of %v, %v; want that of %v", seen[v4], err, oldest)
	}
	if name, ok := p.Name(v4); !ok || name != web {
		t.Errorf("the address is now that of %v", name)
	}
	if name, ok := p.Name(IPv6(oldest)); ok {
		t.Errorf("%v is still known", name)
	}
	for i := range 100 {
		p.Addrs(nth(100 + i))
	}
	for a, name := range map[netip.Addr]sal.Name{a0: nth(0), a1: nth(1)} {
		if got, ok := p.Name(a); !ok || got != name {
			t.Errorf("%v was of %v, and is now of %v", a, name, got)
		}
	}
	c.at = c.at.Add(100 * Rest)
	for i := range 100 {
		p.Addrs(nth(200 + i))
	}
	if got, _ := p.Name(a1); got != nth(1) {
		t.Errorf("it was held, and is now that of %v", got)
	}
	release()
	release() // does nothing
	c.at = c.at.Add(Rest - time.Second)
	if got, _ := p.Name(a1); got != nth(1) {
		t.Errorf("it was just let go, and is now that of %v", got)
	}
	c.at = c.at.Add(Rest)
	for i := range 13 {
		p.Addrs(nth(300 + i))
	}
	if got, _ := p.Name(a1); got == nth(1) {
		t.Error("it is held for ever")
	}
}

// Two hold an address: it is kept until both have let go.
func TestHoldTwice(t *testing.T) {
	p, c := newPool(t, "10.0.0.0/29")
	v4, _, _ := p.Addrs(web)
	one, two := p.Hold(v4), p.Hold(IPv6(web))
	one()
	c.at = c.at.Add(3 * Rest)
	for i := range 10 {
		p.Addrs(nth(i))
	}
	if got, _ := p.Name(v4); got != web {
		t.Errorf("it is that of %v", got)
	}
	two()
}

func TestLearn(t *testing.T) {
	p, _ := newPool(t, "10.0.0.0/29")
	if _, ok := p.Name(IPv6(web)); ok {
		t.Error("it is known before")
	}
	p.Learn(web)
	if name, ok := p.Name(IPv6(web)); !ok || name != web || p.Has(web) {
		t.Errorf("%v, %v", name, ok)
	}
	v4, _, err := p.Addrs(web) // now it gets one of IPv4
	if err != nil || !v4.IsValid() || !p.Has(web) {
		t.Error(v4, err)
	}
	release := p.Hold(IPv6(web))
	defer release()
	for i := range maxLearnt + 100 {
		p.Learn(nth(i))
	}
	if n := len(p.byName); n > maxLearnt+1 {
		t.Errorf("%d are remembered", n)
	}
	if _, ok := p.Name(IPv6(nth(0))); ok {
		t.Error("the oldest is remembered")
	}
	for _, name := range []sal.Name{web, nth(maxLearnt + 99)} {
		if got, ok := p.Name(IPv6(name)); !ok || got != name {
			t.Errorf("%v is forgotten", name)
		}
	}
}

// source tells of services.
type source []resolver.Update

func (s source) Follow(context.Context) iter.Seq[resolver.Update] { return slices.Values(s) }

func TestFollow(t *testing.T) {
	p, _ := newPool(t, "10.0.0.0/24")
	all := sal.MustParseName("svc:fn/*")
	p.Follow(t.Context(), source{
		{Snapshot: true, Changes: []resolver.Change{{Instance: resolver.Instance{Service: web}}, {Instance: resolver.Instance{Service: all}}}},
		{Changes: []resolver.Change{{Instance: resolver.Instance{Service: web}, Gone: true}, {Instance: resolver.Instance{Service: nth(1)}, Gone: true}}},
	})
	if name, ok := p.Name(IPv6(web)); !ok || name != web {
		t.Error("it has not learnt")
	}
	if len(p.byName) != 1 {
		t.Errorf("it has learnt %v", p.byName)
	}
}

// Of two services with one IPv6 address, the first keeps it.
func TestCollision(t *testing.T) {
	p, _ := newPool(t, "10.0.0.0/24")
	p.byAddr[IPv6(cart)] = p.entry(web)
	v4, v6, err := p.Addrs(cart)
	if err != nil || !v4.IsValid() || v6.IsValid() {
		t.Error(v4, v6, err)
	}
	if name, _ := p.Name(v4); name != cart {
		t.Errorf("its address is that of %v", name)
	}
}

func TestPrefixes(t *testing.T) {
	for prefix, ok := range map[string]bool{"198.18.0.0/15": true, "10.1.2.3/8": true, "192.168.1.0/29": true, "240.0.0.0/8": false, "0.0.0.0/8": false,
		"127.0.0.0/8": false, "224.0.0.0/8": false, "169.254.0.0/16": false, "10.0.0.0/30": false, "10.0.0.0/7": false, "fd00::/64": false} {
		p, err := Open("", Config{V4: netip.MustParsePrefix(prefix)})
		if (err == nil) != ok {
			t.Errorf("%s: %v", prefix, err)
		}
		if err == nil {
			if v4, _, err := p.Addrs(web); err != nil || !p.Prefix4().Contains(v4) {
				t.Errorf("%s: %v, %v", prefix, v4, err)
			}
		}
	}
}

func BenchmarkName(b *testing.B) {
	p, _ := newPool(b, "198.18.0.0/15")
	v4, _, _ := p.Addrs(web)
	b.ReportAllocs()
	for b.Loop() {
		p.Name(v4)
	}
}
