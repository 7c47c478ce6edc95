package cli

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

// TestRendezvousFlag: run serves as a rendezvous where it is told to, or not at all.
func TestRendezvousFlag(t *testing.T) {
	r := newReal(t)
	if _, errs, code := r.run("", "init", "--seed", "127.0.0.1:1"); code != exitOK {
		t.Fatal(errs)
	}
	for text, want := range map[string]string{"": "invalid AddrPort", "none": "invalid AddrPort", "192.0.2.1": "192.0.2.1:0", "[2001:db8::1]:7000": "[2001:db8::1]:7000"} {
		cfg, err := new(App).daemonConfig("", "", text)
		if err != nil || cfg.Rendezvous.String() != want || cfg.NoRendezvous != (text == "none") {
			t.Errorf("%q: %v, turned off %v, %v", text, cfg.Rendezvous, cfg.NoRendezvous, err)
		}
	}
	if _, errs, code := r.run("", "run", "--rendezvous", "nowhere"); code != exitUsage || !strings.Contains(errs, "nowhere") {
		t.Errorf("nowhere: %s, code %d", errs, code)
	}
	free, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	at := free.LocalAddr().String()
	free.Close()
	r.start("run", "--gossip", "127.0.0.1", "--rendezvous", at)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		out, errs, _ := r.run("", "services", serval.RendezvousService)
		if strings.Contains(out, "  "+at+" ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the rendezvous at %s is known as %q, %q", at, out, errs)
		}
	}
}
