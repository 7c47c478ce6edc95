package sal

import (
	"errors"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	for _, tt := range []struct{ in, want, dns string }{
		{"svc:web", "svc:web", "web.svc.serval"},
		{"web", "svc:web", "web.svc.serval"},
		{"WEB", "svc:web", "web.svc.serval"},
		{"SVC:Web", "svc:web", "web.svc.serval"},
		{"web:80", "svc:web", "web.svc.serval"},
		{"svc:web:80", "svc:web", "web.svc.serval"},
		{"web.svc.serval", "svc:web", "web.svc.serval"},
		{"web.svc.serval.", "svc:web", "web.svc.serval"},
		{"web.SVC.serval:80", "svc:web", "web.svc.serval"},
		{"svc:shop/cart", "svc:shop/cart", "cart.shop.svc.serval"},
		{"cart.shop.svc.serval", "svc:shop/cart", "cart.shop.svc.serval"},
		{"eu.cart.shop.svc.serval:0", "svc:shop/cart/eu", "eu.cart.shop.svc.serval"},
		{"svc:*", "svc:*", "*.svc.serval"},
		{"*.shop.svc.serval", "svc:shop/*", "*.shop.svc.serval"},
		{"my-db_2", "svc:my-db_2", "my-db_2.svc.serval"},
		{"svc:" + strings.Repeat("a", 63), "svc:" + strings.Repeat("a", 63), strings.Repeat("a", 63) + DNSSuffix},
	} {
		n, err := ParseName(tt.in)
		if err != nil {
			t.Errorf("ParseName(%q): %v", tt.in, err)
			continue
		}
		if n.String() != tt.want || n.DNS() != tt.dns {
			t.Errorf("ParseName(%q) = %q, DNS %q; want %q, %q", tt.in, n, n.DNS(), tt.want, tt.dns)
		}
	}
}

func TestParseNameErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "is empty"},
		{"svc:", "has no service in it"},
		{":80", "has no service in it"},
		{"svc.serval", "has no service in it"},
		{".svc.serval", "has no service in it"},
		{"svc:/web", "empty level"},
		{"svc:web/", "empty level"},
		{"a..b.svc.serval", "empty level"},
		{"svc:a/b/c/d", "4 levels"},
		{"svc:" + strings.Repeat("a", 64), "64 characters"},
		{strings.Repeat("a/", 500), "is 1000 characters long"},
		{"svc:we b", `the character ' '`},
		{"svc:café", `the character 'é'`},
		{"svc:\u212aelvin", "the character '\u212a'"}, // lower-cases to an ASCII k
		{"svc:web\x00", `the character '\x00'`},
		{"svc:web\xff", "the character"},
		{"svc:-web", "hyphen"},
		{"svc:*/web", "wildcard before its end"},
		{"svc:we*b", `the character '*'`},
		{"svc:web.svc.serval", "mixes two forms"},
		{"example.com", "does not end in .svc.serval"},
		{"example.com:443", "does not end in .svc.serval"},
		{"web:http", "port"},
		{"web:65536", "port"},
		{"http://web", "is a URL"},
	} {
		n, err := ParseName(tt.in)
		var bad *NameError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseName(%q) = %q, error %v; want one with %q", tt.in, n, err, tt.want)
		}
	}
}

// TestNameServiceID fixes the layout: another one would part old nodes from new.
func TestNameServiceID(t *testing.T) {
	const (
		web, shop    = "4b5e57f6eb2f42b9039b3d1e", "8d9001d32c6a703d95921a77"
		cart, noCart = "1c42ddc0285b", "000000000000"
		eu, noEU     = "4d0282941a", "0000000000"
		noKey        = "0000000000000000"
	)
	for _, tt := range []struct {
		name, id string
		bits     uint16 // of its prefix
	}{
		{"svc:*", "01" + strings.Repeat("00", 31), 8},
		{"svc:web", "01" + web + noCart + noEU + noKey, 192},
		{"svc:shop/*", "01" + shop + noCart + noEU + noKey, 104},
		{"svc:shop/cart", "01" + shop + cart + noEU + noKey, 192},
		{"svc:shop/cart/*", "01" + shop + cart + noEU + noKey, 152},
		{"svc:shop/cart/eu", "01" + shop + cart + eu + noKey, 192},
	} {
		n := MustParseName(tt.name)
		if got := n.ServiceID().String(); got != tt.id {
			t.Errorf("%s: ID %s, want %s", n, got, tt.id)
		}
		if got := n.Prefix(); got.Bits != tt.bits || got.ID != n.ServiceID() {
			t.Errorf("%s: prefix %s, want %d bits", n, got, tt.bits)
		}
	}
}

func TestNameCovers(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "web", true},
		{"*", "shop/*", true},
		{"*", "*", true},
		{"shop/*", "shop", true},
		{"shop/*", "shop/cart", true},
		{"shop/*", "shop/cart/eu", true},
		{"shop/*", "shop/cart/*", true},
		{"shop/*", "shopping", false},
		{"shop/*", "web", false},
		{"shop/*", "*", false},
		{"shop/cart/*", "shop/*", false},
		{"shop", "shop", true},
		{"shop", "shop/cart", false},
	} {
		p, n := MustParseName(tt.pattern), MustParseName(tt.name)
		if got := p.Covers(n); got != tt.want {
			t.Errorf("%s covers %s: %v, want %v", p, n, got, tt.want)
		}
		if got := p.Prefix().Contains(n.ServiceID()); !n.IsWildcard() && got != tt.want {
			t.Errorf("prefix of %s contains the ID of %s: %v, want %v", p, n, got, tt.want)
		}
	}
	if (Name{}).Covers(Name{}) || MustParseName("*").Covers(Name{}) {
		t.Error("the zero Name is covered by something")
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"", "svc:web", "cart.shop.svc.serval:80", "svc:shop/*", "SVC:A", "a..b", "svc:\xff", "[::1]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			if !n.IsZero() {
				t.Fatalf("ParseName(%q) = %q with error %v", s, n, err)
			}
			return
		}
		for _, again := range []string{n.String(), n.Path(), n.DNS(), n.DNS() + ":443", strings.ToUpper(n.String())} {
			if m, err := ParseName(again); m != n {
				t.Fatalf("%q is %q, but its form %q is %q, %v", s, n, again, m, err)
			}
		}
		if !n.Covers(n) || !n.Prefix().Contains(n.ServiceID()) {
			t.Fatalf("%q does not cover itself", n)
		}
	})
}
