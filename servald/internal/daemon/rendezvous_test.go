package daemon

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// A daemon is a rendezvous, and known as one, unless it is told not to.
func TestRendezvousIsRegistered(t *testing.T) {
	cfg := newConfig(t, newToken(t))
	start(t, cfg)
	client := control.NewClient(cfg.Socket)
	defer client.Close()
	name := sal.MustParseName(serval.RendezvousService)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		in, err := client.Resolve(t.Context(), name)
		if err == nil && len(in) == 1 && in[0].Node == cfg.Identity.Node() && len(in[0].Addrs) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("found %v, %v", in, err)
		}
	}
}

func TestNoRendezvous(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.1:7000")
	for name, cfg := range map[string]Config{
		"turned off":                {NoRendezvous: true},
		"turned off with a port":    {NoRendezvous: true, Rendezvous: at},
		"behind a NAT, of any port": {Advertise: at},
	} {
		if n, err := cfg.rendezvous(nil); n != nil || err != nil {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
}
