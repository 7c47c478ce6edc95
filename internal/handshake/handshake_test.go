package handshake

import (
	"bytes"
	"testing"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

func TestHandshake(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	if len(i.SYN()) != synLen {
		t.Errorf("SYN has %d bytes, want %d", len(i.SYN()), synLen)
	}
	d, open := l.open(i)
	rider := []byte("one short packet")
	s, rest, err := l.r.HandleOPEN(start, append(open, rider...))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rest, rider) {
		t.Errorf("rest = %q, want what followed the OPEN", rest)
	}
	wantTalk(t, d, s)
	if d.Binding != s.Binding || d.JoinSecret != s.JoinSecret || d.SendSecret == d.RecvSecret || d.JoinSecret == d.SendSecret {
		t.Error("binding and join secret must be the same at both ends, secrets all different")
	}
	if d.Service != web || s.Service != web {
		t.Errorf("services = %v and %v, want %v", d.Service, s.Service, web)
	}
	if d.Local != s.Remote || d.Remote != s.Local || d.Local != clientFlow || s.Local != serverFlow {
		t.Errorf("flows = %v/%v and %v/%v", d.Local, d.Remote, s.Local, s.Remote)
	}
	if d.Peer.Node != l.r.cfg.Identity.Node() || s.Peer.Node != l.dialer.Node() {
		t.Error("a peer's identity is wrong")
	}
	want := Params{Window: 1 << 20, MaxDatagram: 1200, ResetToken: ResetToken(l.r.cfg.Identity, serverFlow)}
	if d.PeerParams != want {
		t.Errorf("dialler got %+v, want %+v", d.PeerParams, want)
	}
	want = Params{Window: 1 << 16, MaxDatagram: 900, ResetToken: ResetToken(l.dialer, clientFlow)}
	if s.PeerParams != want {
		t.Errorf("instance got %+v, want %+v", s.PeerParams, want)
	}
	if wantSuite := seal.Choose(seal.HasAES()); d.Suite != wantSuite || s.Suite != wantSuite {
		t.Errorf("suites = %v and %v, want %v", d.Suite, s.Suite, wantSuite)
	}
	if n := len(l.r.table.bySYN) + len(l.r.table.byFlow) + len(l.r.table.timers) + len(l.r.table.sources); n != 0 {
		t.Errorf("%d table entries stay after the handshake", n)
	}
}

// TestNewSecrets: two connections between the same nodes share nothing.
func TestNewSecrets(t *testing.T) {
	l := newLab(t)
	a, _ := l.establish()
	b, _ := l.establish()
	if a.SendSecret == b.SendSecret || a.RecvSecret == b.RecvSecret || a.Binding == b.Binding {
		t.Error("two connections share a secret")
	}
}

// TestManyInstances: the same SYN goes to several instances, and the first good
// answer wins whatever came before.
func TestManyInstances(t *testing.T) {
	a := newLab(t)
	b := newLabOf(t, a.root, a.dialer, join(t, a.root, identity.Grant{}))
	i := a.initiator()
	first, second := a.synack(i.SYN()), b.synack(i.SYN())
	for _, tt := range []struct {
		l   *lab
		ack []byte
	}{{b, second}, {a, first}} {
		d, open, err := i.HandleSYNACK(start, tt.ack)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := tt.l.r.HandleOPEN(start, open)
		if err != nil {
			t.Fatal(err)
		}
		wantTalk(t, d, s)
	}
}

// TestDuplicateSYN: a repeated SYN gets the same SYN-ACK; one from another
// address is another dial.
func TestDuplicateSYN(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	first := l.synack(i.SYN())
	for range 3 {
		reply, opened, err := l.r.HandleSYN(start, i.SYN(), client, l.offer)
		if err != nil || opened || !bytes.Equal(reply, first) {
			t.Fatalf("a repeated SYN got other bytes (opened %v, error %v)", opened, err)
		}
	}
	if l.flows != 1 {
		t.Errorf("%d flow IDs were made for one SYN", l.flows)
	}
	other := client
	reply, opened, err := l.r.HandleSYN(start, i.SYN(), netipPort(other, 5), l.offer)
	if err != nil || !opened || bytes.Equal(reply, first) {
		t.Errorf("the same SYN from another address: opened %v, error %v", opened, err)
	}
}

func TestWildcardListener(t *testing.T) {
	l := newLab(t)
	l.offer.Service = sal.MustParseName("cache/*")
	name := sal.MustParseName("cache/eu")
	i, err := NewInitiator(Config{Identity: l.dialer}, name, clientFlow, Params{})
	if err != nil {
		t.Fatal(err)
	}
	_, open := l.open(i)
	s, _, err := l.r.HandleOPEN(start, open)
	if err != nil || s.Service != name {
		t.Errorf("the instance sees service %v, error %v; want %v", s.Service, err, name)
	}
	if _, err := NewInitiator(Config{Identity: l.dialer}, l.offer.Service, clientFlow, Params{}); err == nil {
		t.Error("a wildcard was dialled")
	}
}

func TestDatagramConnection(t *testing.T) {
	l := newLab(t)
	i, err := NewInitiator(Config{Identity: l.dialer}, web, clientFlow, Params{Datagram: true})
	if err != nil {
		t.Fatal(err)
	}
	d, open := l.open(i)
	s, _, err := l.r.HandleOPEN(start, open)
	if err != nil || !d.PeerParams.Datagram || !s.PeerParams.Datagram {
		t.Errorf("datagram connection: %v", err)
	}
}

// TestNoFastAES: one end without AES instructions is enough for ChaCha20.
func TestNoFastAES(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	i.syn.AES = false
	i.packet = i.syn.Append(nil)
	i.echo = i.syn.Echo()
	d, open := l.open(i)
	s, _, err := l.r.HandleOPEN(start, open)
	if err != nil || d.Suite != seal.ChaCha20Poly1305 || s.Suite != d.Suite {
		t.Errorf("suites %v and %v, error %v", d.Suite, s.Suite, err)
	}
	wantTalk(t, d, s)
}

func TestRefuse(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	syn, err := sal.ParseSYN(i.SYN())
	if err != nil {
		t.Fatal(err)
	}
	good := sal.Refuse{Flow: clientFlow, Code: sal.Overloaded, Echo: syn.Echo()}
	got, err := i.HandleRefuse(good.Append(nil))
	if err != nil || got != good {
		t.Errorf("HandleRefuse = %+v, %v", got, err)
	}
	for _, bad := range []sal.Refuse{
		{Flow: clientFlow, Code: sal.NoService}, // has not seen the SYN
		{Flow: clientFlow + 1, Code: sal.NoService, Echo: syn.Echo()},
	} {
		_, err := i.HandleRefuse(bad.Append(nil))
		wantErr(t, err, ErrForged)
	}
	l.open(i)
}

func TestResetToken(t *testing.T) {
	l := newLab(t)
	a := ResetToken(l.dialer, 1)
	if a != ResetToken(l.dialer, 1) || a == ResetToken(l.dialer, 2) || a == ResetToken(l.r.cfg.Identity, 1) {
		t.Error("reset tokens must be one for each node and flow")
	}
}
