package serval

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// alone keeps a daemon of this host out of a test, and what its environment says.
func alone(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	for _, v := range []string{"TOKEN", "JOIN", "SOCKET", "LISTEN", "POLICY", "COST", "RENDEZVOUS", "SERVICES"} {
		t.Setenv("SERVAL_"+v, "")
	}
}

func TestPathsFromEnv(t *testing.T) {
	alone(t)
	t.Setenv("SERVAL_LISTEN", "127.0.0.1:0")
	t.Setenv("SERVAL_RENDEZVOUS", "192.0.2.1:4000,[2001:db8::1]:4000")
	t.Setenv("SERVAL_POLICY", "pinned:eth1")
	t.Setenv("SERVAL_COST", "wwan*=10,usb0=never")
	cfg, err := ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.release()
	want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("[2001:db8::1]:4000")}
	if !slices.Equal(cfg.Rendezvous, want) {
		t.Errorf("rendezvous %v", cfg.Rendezvous)
	}
	if cfg.Policy != (Policy{Mode: Pinned, Interface: "eth1"}) {
		t.Errorf("policy %v", cfg.Policy)
	}
	rules := []InterfaceRule{{Name: "wwan*", Cost: 10}, {Name: "usb0", Exclude: true}}
	if !slices.Equal(cfg.Interfaces, rules) {
		t.Errorf("interfaces %v", cfg.Interfaces)
	}
}

func TestBadEnv(t *testing.T) {
	for name, value := range map[string]string{
		"SERVAL_LISTEN": "here", "SERVAL_RENDEZVOUS": "192.0.2.1", "SERVAL_POLICY": "fast", "SERVAL_COST": "eth0",
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			t.Setenv(name, value)
			cfg, err := ConfigFromEnv()
			if err == nil {
				cfg.release()
				t.Fatalf("%s=%s is taken", name, value)
			}
			if !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), value) {
				t.Errorf("the error does not say what is wrong: %v", err)
			}
		})
	}
}
