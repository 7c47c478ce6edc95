package handshake

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	web    = sal.MustParseName("web")
	client = netip.MustParseAddrPort("192.0.2.7:4444")
)

const (
	clientFlow sal.FlowID = 0xc11e0001
	serverFlow sal.FlowID = 0x5e7e0001
)

func join(t testing.TB, root *identity.Root, g identity.Grant) *identity.Identity {
	t.Helper()
	token, err := root.Grant(g, start)
	if err != nil {
		t.Fatal(err)
	}
	id, err := token.Join(identity.Member{}, start)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// lab is a dialler and an instance of one cluster, with nothing between them.
type lab struct {
	testing.TB
	root   *identity.Root
	dialer *identity.Identity
	r      *Responder
	offer  Offer
	flows  sal.FlowID // made so far
}

func newLab(t testing.TB) *lab {
	root := identity.NewRoot()
	return newLabOf(t, root, join(t, root, identity.Grant{}), join(t, root, identity.Grant{}))
}

func newLabOf(t testing.TB, root *identity.Root, dialer, instance *identity.Identity) *lab {
	l := &lab{TB: t, root: root, dialer: dialer, r: NewResponder(Config{Identity: instance})}
	l.offer = Offer{
		Service: web,
		Params:  Params{Window: 1 << 20, MaxDatagram: 1200},
		NewFlow: func() sal.FlowID { l.flows++; return serverFlow + l.flows - 1 },
	}
	return l
}

func (l *lab) initiator() *Initiator {
	l.Helper()
	i, err := NewInitiator(Config{Identity: l.dialer}, web, clientFlow, Params{Window: 1 << 16, MaxDatagram: 900})
	if err != nil {
		l.Fatal(err)
	}
	return i
}

// synack delivers a SYN that must be answered by a SYN-ACK.
func (l *lab) synack(syn []byte) []byte {
	l.Helper()
	reply, _, err := l.r.HandleSYN(start, syn, client, l.offer)
	if err != nil || len(reply) == 0 {
		l.Fatalf("HandleSYN = %d bytes, %v; want a SYN-ACK", len(reply), err)
	}
	return reply
}

// open runs the handshake up to the OPEN.
func (l *lab) open(i *Initiator) (*Session, []byte) {
	l.Helper()
	s, open, err := i.HandleSYNACK(start, l.synack(i.SYN()))
	if err != nil {
		l.Fatal(err)
	}
	return s, open
}

// establish runs the whole handshake.
func (l *lab) establish() (dialer, instance *Session) {
	l.Helper()
	dialer, open := l.open(l.initiator())
	instance, _, err := l.r.HandleOPEN(start, open)
	if err != nil {
		l.Fatal(err)
	}
	return dialer, instance
}

// wantTalk checks that both ends can open what the other seals.
func wantTalk(t testing.TB, a, b *Session) {
	t.Helper()
	for range 2 {
		sealer, opener := seal.NewSealer(a.Suite, a.SendSecret, 0), seal.NewOpener(b.Suite, b.RecvSecret, 0)
		if _, err := opener.Open(nil, nil, sealer.Seal(nil, nil, []byte("hi"), 1), 1, 0); err != nil {
			t.Fatalf("the two ends have different secrets: %v", err)
		}
		a, b = b, a
	}
}

func wantErr(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error = %v, want %v", err, target)
	}
}

// flip returns a copy of b with one bit changed.
func flip(b []byte, bit int) []byte {
	c := append([]byte(nil), b...)
	c[bit/8] ^= 1 << (bit % 8)
	return c
}
