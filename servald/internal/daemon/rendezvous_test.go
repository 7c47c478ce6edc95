package daemon

import (
	"fmt"
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

func TestRendezvous(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.1:7000")
	for name, test := range map[string]struct {
		cfg  Config
		at   netip.AddrPort
		meet bool
	}{
		"as it comes":               {meet: true},
		"of a given port":           {Config{Rendezvous: at}, at, true},
		"turned off":                {Config{NoRendezvous: true}, netip.AddrPort{}, false},
		"turned off with a port":    {Config{NoRendezvous: true, Rendezvous: at}, netip.AddrPort{}, false},
		"behind a NAT, of any port": {Config{Advertise: at}, netip.AddrPort{}, false},
		"behind a NAT":              {Config{Advertise: at, Rendezvous: at}, at, true},
	} {
		if at, meet := test.cfg.rendezvous(); at != test.at || meet != test.meet {
			t.Errorf("%s: at %v, %v", name, at, meet)
		}
	}
}

func TestListen(t *testing.T) {
	parse := netip.MustParseAddrPort
	for name, test := range map[string]struct {
		cfg    Config
		gossip string
		want   string
	}{
		"every address":          {Config{}, "192.0.2.1", "[]"},
		"a host by itself":       {Config{}, "127.0.0.1", "[127.0.0.1:0]"},
		"as told":                {Config{Listen: []netip.AddrPort{parse("192.0.2.7:0")}}, "127.0.0.1", "[192.0.2.7:0]"},
		"with a rendezvous":      {Config{Rendezvous: parse("192.0.2.1:7000"), Listen: []netip.AddrPort{parse("192.0.2.1:0"), parse("192.0.2.7:0")}}, "192.0.2.1", "[192.0.2.1:7000 192.0.2.7:0]"},
		"two ports, as a router": {Config{Forward: parse("192.0.2.1:0"), Listen: []netip.AddrPort{parse("192.0.2.1:5")}}, "192.0.2.1", "[192.0.2.1:0 192.0.2.1:5]"},
	} {
		if got := fmt.Sprint(test.cfg.listen(netip.MustParseAddr(test.gossip))); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
