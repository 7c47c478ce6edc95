package handshake

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

var router = netip.MustParseAddrPort("198.51.100.1:7000")

// forwarded delivers a SYN that came through a router for the client.
func (l *lab) forwarded(syn []byte) []byte {
	l.Helper()
	l.offer.Router = router
	return l.synack(syn)
}

// plain is a SYN-ACK as it comes through the routers.
func plain(t testing.TB, synack []byte) []byte {
	t.Helper()
	p, err := sal.ParseSYNACK(synack)
	if err != nil {
		t.Fatal(err)
	}
	p.Extensions = nil
	return p.Append(nil)
}

// TestHearsay: only who gets the SYN-ACK that was sent to the address which the
// routers state has shown to be there.
func TestHearsay(t *testing.T) {
	for _, tt := range []struct {
		name      string
		forwarded bool
		way       func(testing.TB, []byte) []byte
		hearsay   bool
	}{
		{"straight", false, func(_ testing.TB, b []byte) []byte { return b }, false},
		{"forwarded, answered straight", true, func(_ testing.TB, b []byte) []byte { return b }, false},
		{"forwarded, answered through the routers", true, plain, true},
		{"forwarded, ticket altered", true, func(_ testing.TB, b []byte) []byte { return flip(b, 8*len(b)-1) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			i := l.initiator()
			ack := l.synack
			if tt.forwarded {
				ack = l.forwarded
			}
			s, open, err := i.HandleSYNACK(start, tt.way(t, ack(i.SYN())))
			if err != nil {
				t.Fatal(err)
			}
			if tt.forwarded && !tt.hearsay && s.Router != router {
				t.Errorf("the dialler takes %v for the router, want %v", s.Router, router)
			}
			inst, _, err := l.r.HandleOPEN(start, open)
			if err != nil {
				t.Fatal(err)
			}
			if inst.Hearsay != tt.hearsay {
				t.Errorf("Hearsay is %v, want %v", inst.Hearsay, tt.hearsay)
			}
			wantTalk(t, s, inst)
		})
	}
}

// TestForwardedNotRepeated: an address that only routers vouch for gets one
// SYN-ACK for each SYN; a copy goes through the routers, once.
func TestForwardedNotRepeated(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	direct := l.forwarded(i.SYN())
	sent := len(direct)
	copies := 0
	for now := start; now.Before(start.Add(2 * halfOpenLife)); now = now.Add(time.Millisecond) {
		again, _ := l.r.Timeout(now)
		for _, r := range again {
			if !r.Back || now.Sub(start) > 2*copyAfter {
				t.Errorf("after %v: %d bytes go to %v, through the routers: %v", now.Sub(start), len(r.Packet), r.To, r.Back)
			}
			copies++
			sent += len(r.Packet) + sal.MaxBack
		}
	}
	if copies != 1 || sent > sal.AmplificationLimit*len(i.SYN()) {
		t.Errorf("%d copies, %d bytes for a SYN of %d", copies, sent, len(i.SYN()))
	}
}

// TestForwardedInTime: who opens at once costs the routers nothing more.
func TestForwardedInTime(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	_, open, err := i.HandleSYNACK(start, l.forwarded(i.SYN()))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.r.HandleOPEN(start.Add(copyAfter/2), open); err != nil {
		t.Fatal(err)
	}
	if again, _ := l.r.Timeout(start.Add(copyAfter)); len(again) > 0 {
		t.Errorf("a copy goes to %v though the connection is open", again[0].To)
	}
}

// TestForwardedCookie: a cookie proves the address, whoever forwards.
func TestForwardedCookie(t *testing.T) {
	l := newLab(t)
	l.r.cfg.CookieThreshold = 0
	i := l.initiator()
	syn, err := i.HandleCookie(l.forwarded(i.SYN()))
	if err != nil {
		t.Fatal(err)
	}
	back, ok := sal.ForwardSYN(syn, sal.Source{Addr: client}, nil)
	if !ok {
		t.Fatal("the SYN with the cookie cannot be forwarded")
	}
	s, open, err := i.HandleSYNACK(start, l.forwarded(back))
	if err != nil {
		t.Fatal(err)
	}
	inst, _, err := l.r.HandleOPEN(start, open)
	if err != nil || inst.Hearsay {
		t.Fatalf("Hearsay is %v, error %v", inst.Hearsay, err)
	}
	wantTalk(t, s, inst)
}
