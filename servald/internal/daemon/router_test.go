package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

// TestRouters: a daemon stands for the services of its domain in a wider one, whose
// programs dial them by name though nobody there knows an instance.
func TestRouters(t *testing.T) {
	token := newToken(t)
	wide, site := newConfig(t, token), newConfig(t, token)
	site.Above, site.Aggregate = []string{start(t, wide).Gossip}, []string{"svc:shop/*"}
	site.Forward = netip.MustParseAddrPort("127.0.0.1:0")
	start(t, site)

	server, client := program(t, site), program(t, wide)
	ln, err := server.Listen("svc:shop/cart")
	if err != nil {
		t.Fatal(err)
	}
	go conntest.Echo(ln)
	var conn *serval.Conn
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err = client.Dial("svc:shop/cart"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	if got := conn.PeerIdentity().Node; got != server.ID() {
		t.Errorf("connected to %v, want the instance", got)
	}
	echoes(t, conn)
}

func TestRouterMisconfigured(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"say where it forwards": func(c *Config) { c.Above = []string{"127.0.0.1:1"} },
		"name members": func(c *Config) {
			c.Forward, c.Aggregate = netip.MustParseAddrPort("127.0.0.1:0"), []string{"svc:a/*"}
		},
		"svc:a b": func(c *Config) {
			c.Forward, c.Above, c.Aggregate = netip.MustParseAddrPort("127.0.0.1:0"), []string{"127.0.0.1:1"}, []string{"svc:a b"}
		},
	} {
		cfg := newConfig(t, newToken(t))
		change(&cfg)
		err := Run(t.Context(), cfg, func(Status) { t.Errorf("%s: ready", want) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
