package handshake

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// These are the holes of the 2012 prototype, and of protocols like it, each
// with the test that keeps it shut.

func netipPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}

// TestBlindRST: the prototype accepted an RST from anyone who guessed a flow ID
// and half of the number space. Here whoever lacks the session's secrets, even
// knowing both flow IDs and the whole handshake, seals nothing that opens.
func TestBlindRST(t *testing.T) {
	l := newLab(t)
	d, s := l.establish()
	opener := seal.NewOpener(s.Suite, s.RecvSecret, 0)
	for _, guess := range [][32]byte{{}, d.Binding, sha256.Sum256(d.Binding[:]), d.RecvSecret, d.JoinSecret} {
		sealer := seal.NewSealer(s.Suite, guess, 0)
		for pn := range uint64(100) {
			hdr := sal.AppendShort(nil, sal.TypeRST, false, 0, s.Local, pn)
			if _, err := opener.Open(nil, hdr, sealer.Seal(nil, hdr, nil, pn), pn, 0); err == nil {
				t.Fatal("a forged RST opened")
			}
		}
	}
	// A refusal for an open dial needs to have seen its SYN.
	i := l.initiator()
	for n := range 1000 {
		r := sal.Refuse{Flow: clientFlow, Code: sal.NoService, Echo: [16]byte{byte(n), byte(n >> 8)}}
		if _, err := i.HandleRefuse(r.Append(nil)); err == nil {
			t.Fatal("a blind REFUSE was accepted")
		}
	}
}

// sameFields reports whether two packets differ in reserved bits at most, which
// mean nothing and may be anything.
func sameFields[T any](parse func([]byte) (T, error), a, b []byte) bool {
	x, errA := parse(a)
	y, errB := parse(b)
	return errA == nil && errB == nil && reflect.DeepEqual(x, y)
}

// TestForgedSYNACK: no SYN-ACK but the genuine one opens the dial, and none
// keeps the genuine one from it.
func TestForgedSYNACK(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	good := l.synack(i.SYN())
	otherDial := newLab(t)
	noise := sal.SYNACK{Flow: clientFlow, Source: 9, Noise: make([]byte, 300)} // a key of zeros
	short := sal.SYNACK{Flow: clientFlow, Source: 9, Noise: make([]byte, keyLen)}
	forged := [][]byte{
		otherDial.synack(otherDial.initiator().SYN()), // of another SYN
		noise.Append(nil),
		short.Append(nil),
		good[:len(good)-1],
		nil,
	}
	for bit := range 8 * len(good) {
		if !sameFields(sal.ParseSYNACK, good, flip(good, bit)) {
			forged = append(forged, flip(good, bit))
		}
	}
	for n, pkt := range forged {
		if s, open, err := i.HandleSYNACK(start, pkt); err == nil || s != nil || open != nil {
			t.Fatalf("forgery %d was accepted", n)
		}
	}
	d, open, err := i.HandleSYNACK(start, good)
	if err != nil {
		t.Fatalf("after forgeries, the genuine SYN-ACK fails: %v", err)
	}
	s, _, err := l.r.HandleOPEN(start, open)
	if err != nil {
		t.Fatal(err)
	}
	wantTalk(t, d, s)
}

// TestTamperedHeader: a bit changed in what the SYN says fails the handshake.
// Hop limit and extensions may change on the way, they carry no promise.
func TestTamperedHeader(t *testing.T) {
	l := newLab(t)
	l.r = NewResponder(Config{Identity: l.r.cfg.Identity, CookieThreshold: 4096})
	i := l.initiator()
	syn, err := sal.ParseSYN(i.SYN())
	if err != nil {
		t.Fatal(err)
	}
	end := len(syn.AppendPrologue(nil)) + 2 + keyLen // hop limit, length of e, e
	for bit := range 8 * end {
		if bit/8 == 2 || sameFields(sal.ParseSYN, i.SYN(), flip(i.SYN(), bit)) {
			continue // the hop limit
		}
		reply, _, err := l.r.HandleSYN(start, flip(i.SYN(), bit), netipPort(client, uint16(bit)), l.offer)
		if err != nil || reply == nil {
			continue
		}
		if _, _, err := i.HandleSYNACK(start, reply); err == nil {
			t.Fatalf("bit %d of byte %d of the SYN does not count", bit%8, bit/8)
		}
	}
	hop := bytes.Clone(i.SYN())
	hop[2]--
	if _, _, err := i.HandleSYNACK(start, l.synack(hop)); err != nil {
		t.Errorf("a forwarder may decrement the hop limit: %v", err)
	}
}

// TestTamperedSYNFirst: an altered copy that arrives first does not take the
// place of the genuine SYN.
func TestTamperedSYNFirst(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	l.synack(flip(i.SYN(), 8*8)) // the window
	d, open := l.open(i)
	s, _, err := l.r.HandleOPEN(start, open)
	if err != nil {
		t.Fatal(err)
	}
	wantTalk(t, d, s)
}

// TestTamperedOpen: no altered OPEN is accepted, and none spoils the genuine one.
func TestTamperedOpen(t *testing.T) {
	l := newLab(t)
	d, open := l.open(l.initiator())
	for bit := range 8 * len(open) {
		if sameFields(sal.ParseOpen, open, flip(open, bit)) {
			continue
		}
		if s, _, err := l.r.HandleOPEN(start, flip(open, bit)); err == nil || s != nil {
			t.Fatalf("bit %d of byte %d of the OPEN does not count", bit%8, bit/8)
		}
	}
	s, _, err := l.r.HandleOPEN(start, open)
	if err != nil {
		t.Fatalf("after forgeries, the genuine OPEN fails: %v", err)
	}
	wantTalk(t, d, s)
}

// TestWrongCertificateForName: an instance must be allowed to serve what was
// dialled, and a dialler to dial it.
func TestWrongCertificateForName(t *testing.T) {
	root := identity.NewRoot()
	all := join(t, root, identity.Grant{})
	shop := join(t, root, identity.Grant{Rights: identity.Rights{Serve: []string{"shop/*"}, Dial: []string{"shop/*"}}})

	l := newLabOf(t, root, all, shop)
	i := l.initiator()
	_, _, err := i.HandleSYNACK(start, l.synack(i.SYN()))
	wantErr(t, err, ErrNotAuthorized)

	l = newLabOf(t, root, shop, all)
	_, open := l.open(l.initiator())
	s, _, err := l.r.HandleOPEN(start, open)
	wantErr(t, err, ErrNotAuthorized)
	if s == nil || s.Peer.Node != shop.Node() {
		t.Error("there must be a session to send a sealed RST on")
	}

	l = newLabOf(t, root, all, all)
	l.offer.Service = sal.MustParseName("api") // allowed to serve all, but states another name
	i = l.initiator()
	_, _, err = i.HandleSYNACK(start, l.synack(i.SYN()))
	wantErr(t, err, ErrNotAuthorized)
}

// TestStolenCertificate: a chain without its key proves nothing.
func TestStolenCertificate(t *testing.T) {
	l := newLab(t)
	thief := newLabOf(t, l.root, l.dialer, l.r.cfg.Identity)
	thief.r.static = newKeypair()
	i := l.initiator()
	_, _, err := i.HandleSYNACK(start, thief.synack(i.SYN()))
	wantErr(t, err, ErrNotAuthorized)
	l.open(i)
}

func TestExpiredCertificate(t *testing.T) {
	root := identity.NewRoot()
	long, short := join(t, root, identity.Grant{}), join(t, root, identity.Grant{Lifetime: time.Hour})
	later := start.Add(2 * time.Hour)

	l := newLabOf(t, root, long, short)
	i := l.initiator()
	ack := l.synack(i.SYN())
	_, _, err := i.HandleSYNACK(later, ack)
	wantErr(t, err, ErrNotAuthorized)
	wantErr(t, err, identity.ErrExpired)

	l = newLabOf(t, root, short, long)
	_, open := l.open(l.initiator())
	_, _, err = l.r.HandleOPEN(later, open)
	wantErr(t, err, ErrNotAuthorized)
	wantErr(t, err, identity.ErrExpired)
}

func TestWrongCluster(t *testing.T) {
	ours, theirs := newLab(t), newLab(t)
	i := ours.initiator()
	_, _, err := i.HandleSYNACK(start, theirs.synack(i.SYN()))
	wantErr(t, err, ErrNotAuthorized)
	wantErr(t, err, identity.ErrWrongCluster)

	// A dialler that does not mind the cluster is stopped by the instance.
	foreign := newLabOf(t, theirs.root, theirs.dialer, ours.r.cfg.Identity)
	i = foreign.initiator()
	ack, err := sal.ParseSYNACK(foreign.synack(i.SYN()))
	if err != nil {
		t.Fatal(err)
	}
	state, re, _, _, err := i.read(&ack)
	if err != nil {
		t.Fatal(err)
	}
	open, err := i.write(&state, ack.Source, re, [8]byte{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = foreign.r.HandleOPEN(start, open)
	wantErr(t, err, identity.ErrWrongCluster)
}

func TestVersionMismatch(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	ack := l.synack(i.SYN())
	for _, version := range []byte{0, 2, 3} {
		other := func(pkt []byte) []byte {
			c := bytes.Clone(pkt)
			c[0] = c[0]&0x3f | version<<6
			return c
		}
		_, _, err := l.r.HandleSYN(start, other(i.SYN()), client, l.offer)
		wantErr(t, err, sal.ErrVersion)
		_, _, err = i.HandleSYNACK(start, other(ack))
		wantErr(t, err, sal.ErrVersion)
	}
	critical := i.syn
	critical.Extensions = sal.Extensions{251, 0}
	_, _, err := l.r.HandleSYN(start, critical.Append(nil), client, l.offer)
	wantErr(t, err, sal.ErrVersion)
	l.open(i)
}

// TestFlowIDGuessing: the prototype counted flow IDs from 1. Here they are the
// caller's random choice, and knowing one opens nothing.
func TestFlowIDGuessing(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	_, open := l.open(i)
	other := newLabOf(t, l.root, l.dialer, l.r.cfg.Identity)
	_, foreign := other.open(other.initiator()) // same flow IDs, another handshake
	if !bytes.Equal(open[:6], foreign[:6]) {
		t.Fatal("the two OPENs should be addressed alike")
	}
	_, _, err := l.r.HandleOPEN(start, foreign)
	wantErr(t, err, ErrForged)
	guess := sal.Open{Flow: serverFlow + 1, Noise: make([]byte, 100)}
	_, _, err = l.r.HandleOPEN(start, guess.Append(nil))
	wantErr(t, err, ErrUnknown)
	if _, _, err := l.r.HandleOPEN(start, open); err != nil {
		t.Errorf("after guesses, the genuine OPEN fails: %v", err)
	}
}

// TestReplayedOpen: an OPEN opens one connection. Recorded and sent again it
// opens none, neither at once nor after its SYN was replayed too.
func TestReplayedOpen(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	_, open := l.open(i)
	if _, _, err := l.r.HandleOPEN(start, open); err != nil {
		t.Fatal(err)
	}
	_, _, err := l.r.HandleOPEN(start, open)
	wantErr(t, err, ErrUnknown)

	l.flows = 0 // even with the same flow ID
	l.synack(i.SYN())
	_, _, err = l.r.HandleOPEN(start, open)
	wantErr(t, err, ErrForged)
}

// TestLostThirdACK is the transcript that wedged the prototype for ever: its
// third packet was sent once, and what answered the repeated second could not
// be told apart.
func TestLostThirdACK(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	d, open := l.open(i)
	// The OPEN is lost. The instance repeats its SYN-ACK, byte for byte.
	again, gone := l.r.Timeout(start.Add(firstRetry))
	if len(again) != 1 || len(gone) != 0 || again[0].To != client || again[0].Flow != serverFlow {
		t.Fatalf("Timeout = %v, %v; want one SYN-ACK", again, gone)
	}
	if !bytes.Equal(again[0].Packet, l.synack(i.SYN())) {
		t.Error("the repeated SYN-ACK is another")
	}
	// The dialler repeats its OPEN, byte for byte, and this time it arrives.
	s, _, err := l.r.HandleOPEN(start.Add(time.Second), open)
	if err != nil {
		t.Fatal(err)
	}
	wantTalk(t, d, s)
	// A third copy is known as a duplicate: the caller answers with an ACK.
	_, _, err = l.r.HandleOPEN(start.Add(time.Second), open)
	wantErr(t, err, ErrUnknown)
	if again, gone := l.r.Timeout(start.Add(time.Minute)); len(again)+len(gone) > 0 {
		t.Errorf("after the OPEN, Timeout = %v, %v; want nothing", again, gone)
	}
}

// TestHalfOpenExhaustion: a flood of SYNs costs bounded memory, gets cookies,
// and does not shut out a dialler from elsewhere.
func TestHalfOpenExhaustion(t *testing.T) {
	l := newLab(t)
	l.r = NewResponder(Config{Identity: l.r.cfg.Identity, MaxHalfOpen: 32, CookieThreshold: 8})
	var taken int
	for n := range 500 { // spoofed: no cookie comes back
		i := l.initiator()
		reply, opened, err := l.r.HandleSYN(start, i.SYN(), netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:%d", n%250+1, n+1)), l.offer)
		if err != nil {
			t.Fatal(err)
		}
		if opened {
			taken++
			continue
		}
		if typ, _ := sal.PeekType(reply); typ != sal.TypeCookie {
			t.Fatalf("under load a SYN is answered by %v, want COOKIE", typ)
		}
	}
	if taken != 8 {
		t.Errorf("%d half-open connections without a cookie, want 8", taken)
	}
	for n := range 100 { // a real network with many addresses fills the table
		l.withCookie(netip.MustParseAddrPort(fmt.Sprintf("203.0.113.%d:9", n+1)))
	}
	if n := len(l.r.table.bySYN); n != 32 {
		t.Errorf("%d half-open connections, want 32", n)
	}
	d, open := l.withCookie(client) // and still somebody else gets in
	if open == nil {
		t.Fatal("the table is full for everybody")
	}
	s, _, err := l.r.HandleOPEN(start, open)
	if err != nil {
		t.Fatal(err)
	}
	wantTalk(t, d, s)
	if len(l.r.table.gone) == 0 || l.r.Deadline().After(start) {
		t.Error("the evicted flow IDs are not reported")
	}
	l.r.Timeout(start.Add(halfOpenLife))
	if n := len(l.r.table.bySYN) + len(l.r.table.byFlow) + len(l.r.table.sources) + len(l.r.table.timers); n != 0 {
		t.Errorf("%d table entries outlive their time", n)
	}
}

// withCookie dials from an address, with the cookie if one is asked for.
func (l *lab) withCookie(from netip.AddrPort) (*Session, []byte) {
	l.Helper()
	i := l.initiator()
	reply, _, err := l.r.HandleSYN(start, i.SYN(), from, l.offer)
	if typ, _ := sal.PeekType(reply); typ == sal.TypeCookie {
		var syn []byte
		if syn, err = i.HandleCookie(reply); err != nil {
			l.Fatal(err)
		}
		reply, _, err = l.r.HandleSYN(start, syn, from, l.offer)
	}
	if err != nil {
		wantErr(l, err, ErrBusy)
		return nil, nil
	}
	s, open, err := i.HandleSYNACK(start, reply)
	if err != nil {
		l.Fatal(err)
	}
	return s, open
}

// TestOversizedExtensions: what is longer than its bound is refused before it
// is read.
func TestOversizedExtensions(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	for _, ext := range []sal.Extensions{
		{byte(sal.ExtCookie), 200, 1},                                              // cut off
		append(sal.Extensions{byte(sal.ExtCookie), 65}, make([]byte, 65)...),       // too long
		append(sal.Extensions{byte(sal.ExtSource), 9 * 26}, make([]byte, 9*26)...), // too many
		bytes.Repeat([]byte{100, 0}, 17),
	} {
		syn := i.syn
		syn.Extensions = ext
		_, _, err := l.r.HandleSYN(start, syn.Append(nil), client, l.offer)
		wantErr(t, err, sal.ErrMalformed)
	}
	p := payload{chain: make([]byte, identity.MaxChain+1)}
	if _, ok := parsePayload(p.append(nil)); ok {
		t.Error("a chain longer than MaxChain was read")
	}
	l.open(i)
}
