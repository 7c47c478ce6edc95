package sections

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/config"
)

func TestHints(t *testing.T) {
	var h hints
	if got := h.of(sal.MustParseName("svc:web")); got.Port != 0 {
		t.Errorf("without rules: %+v", got)
	}
	at := netip.MustParseAddr("192.0.2.1")
	h.configure([]config.Rule{
		{Match: sal.MustParseName("svc:shop/cart"), Port: 8443, Deny: true},
		{Match: sal.MustParseName("svc:shop/*"), Port: 80, ALPN: []string{"h2"}},
		{Match: sal.MustParseName("svc:*"), Addresses: []netip.Addr{at}},
	})
	got := h.of(sal.MustParseName("svc:shop/cart"))
	if got.Port != 8443 || !slices.Equal(got.ALPN, []string{"h2"}) || !slices.Equal(got.Addrs, []netip.Addr{at}) {
		t.Errorf("%+v", got)
	}
	if got := h.of(sal.MustParseName("svc:web")); got.Port != 0 || got.ALPN != nil || len(got.Addrs) != 1 {
		t.Errorf("%+v", got)
	}
}
