package handshake

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/flynn/noise"

	"github.com/serval-net/serval/pkg/sal"
)

var oracleSuite = noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashSHA256)

func oracle(t *testing.T, initiator bool, static keypair, prologue []byte) *noise.HandshakeState {
	t.Helper()
	hs, err := noise.NewHandshakeState(noise.Config{
		CipherSuite: oracleSuite, Random: rand.Reader, Pattern: noise.HandshakeXX, Initiator: initiator,
		Prologue: prologue, StaticKeypair: noise.DHKey{Private: static.private[:], Public: static.public[:]},
	})
	if err != nil {
		t.Fatal(err)
	}
	return hs
}

// TestDiallerAgainstOracle: our dialler speaks to flynn/noise as the instance.
func TestDiallerAgainstOracle(t *testing.T) {
	l := newLab(t)
	i := l.initiator()
	instance := l.r.cfg.Identity
	hs := oracle(t, false, staticKeypair(instance.Static()), i.syn.AppendPrologue(nil))
	if _, _, _, err := hs.ReadMessage(nil, i.syn.Noise); err != nil {
		t.Fatal(err)
	}
	ack := sal.SYNACK{Flow: clientFlow, Source: serverFlow, Window: 5}
	p := payload{service: "web", chain: instance.Chain(), header: ack.AppendPrologue(nil)}
	msg, _, _, err := hs.WriteMessage(nil, p.append(nil))
	if err != nil {
		t.Fatal(err)
	}
	ack.Noise = msg
	s, packet, err := i.HandleSYNACK(start, ack.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	open, err := sal.ParseOpen(packet)
	if err != nil {
		t.Fatal(err)
	}
	_, recv, send, err := hs.ReadMessage(nil, open.Noise)
	if err != nil {
		t.Fatal(err)
	}
	wantSecrets(t, s, hs, send, recv)
}

// TestInstanceAgainstOracle: our instance speaks to flynn/noise as the dialler.
func TestInstanceAgainstOracle(t *testing.T) {
	l := newLab(t)
	syn := sal.SYN{Flow: clientFlow, Window: 7, Service: web.ServiceID()}
	hs := oracle(t, true, staticKeypair(l.dialer.Static()), syn.AppendPrologue(nil))
	msg, _, _, err := hs.WriteMessage(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	syn.Noise = msg
	ack, err := sal.ParseSYNACK(l.synack(syn.Append(nil)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := hs.ReadMessage(nil, ack.Noise); err != nil {
		t.Fatal(err)
	}
	p := payload{service: "web", chain: l.dialer.Chain()}
	msg, send, recv, err := hs.WriteMessage(nil, p.append(nil))
	if err != nil {
		t.Fatal(err)
	}
	open := sal.Open{Flow: ack.Source, Noise: msg}
	s, _, err := l.r.HandleOPEN(start, open.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	wantSecrets(t, s, hs, send, recv)
}

// wantSecrets compares our session with the oracle's, which sends with send.
func wantSecrets(t *testing.T, s *Session, hs *noise.HandshakeState, send, recv *noise.CipherState) {
	t.Helper()
	if s.SendSecret != recv.UnsafeKey() || s.RecvSecret != send.UnsafeKey() || !bytes.Equal(s.Binding[:], hs.ChannelBinding()) {
		t.Error("we and flynn/noise end with different secrets")
	}
}

// TestLowOrderKey: a public key that yields the same secret with everybody is refused.
func TestLowOrderKey(t *testing.T) {
	k := newKeypair()
	s := newSymmetric(nil)
	for _, public := range [][keyLen]byte{{}, {0: 1}} {
		if err := k.agree(&s, &public); err == nil {
			t.Errorf("agreed with %x", public)
		}
	}
	l := newLab(t)
	syn := sal.SYN{Flow: clientFlow, Service: web.ServiceID(), Noise: make([]byte, keyLen)}
	reply, opened, err := l.r.HandleSYN(start, syn.Append(nil), client, l.offer)
	wantErr(t, err, ErrForged)
	if reply != nil || opened || len(l.r.table.bySYN) > 0 {
		t.Error("a SYN with a key of zeros left something behind")
	}
}
