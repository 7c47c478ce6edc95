package handshake

import (
	"testing"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

// ends are the two ends' Joiners of one connection.
func ends() (a, b Joiner) {
	x, y, join := [32]byte{1}, [32]byte{2}, [32]byte{3}
	return Joiner{seal.AES128GCM, x, y, join}, Joiner{seal.AES128GCM, y, x, join}
}

func TestJoinIsAuthenticated(t *testing.T) {
	a, b := ends()
	p := sal.Join{Flow: 7, Source: 8, Index: 1, Nonce: [16]byte{9}}
	a.Sign(&p)
	if !b.Verify(&p) {
		t.Fatal("the other end refuses a JOIN")
	}
	for name, change := range map[string]func(p *sal.Join){
		"its type": func(p *sal.Join) { p.Ack = true }, "the flow": func(p *sal.Join) { p.Flow++ },
		"the source": func(p *sal.Join) { p.Source++ }, "the index": func(p *sal.Join) { p.Index++ },
		"the nonce": func(p *sal.Join) { p.Nonce[3]++ }, "the MAC": func(p *sal.Join) { p.MAC[0]++ },
	} {
		q := p
		if change(&q); b.Verify(&q) {
			t.Errorf("a JOIN with %s changed is accepted", name)
		}
	}
	stranger, _ := ends()
	stranger.join[0]++
	if stranger.Verify(&p) {
		t.Error("another connection accepts the JOIN")
	}
}

func TestJoinedFlowsHaveKeysOfTheirOwn(t *testing.T) {
	a, b := ends()
	join, ack := [16]byte{1}, [16]byte{2}
	s, _ := a.Keys(1, join, ack)
	_, o := b.Keys(1, join, ack)
	pkt := s.Seal(nil, []byte("hdr"), []byte("hello"), 5)
	if got, err := o.Open(nil, []byte("hdr"), pkt, 5, 0); err != nil || string(got) != "hello" {
		t.Fatalf("the other end opens %q, %v", got, err)
	}
	for name, other := range map[string]func() *seal.Opener{
		"another index":      func() *seal.Opener { _, o := b.Keys(2, join, ack); return o },
		"another JOIN":       func() *seal.Opener { _, o := b.Keys(1, [16]byte{3}, ack); return o },
		"another answer":     func() *seal.Opener { _, o := b.Keys(1, join, [16]byte{3}); return o },
		"the first flow":     func() *seal.Opener { return seal.NewOpener(b.suite, b.recv, 0) },
		"the same direction": func() *seal.Opener { _, o := a.Keys(1, join, ack); return o },
	} {
		if _, err := other().Open(nil, []byte("hdr"), pkt, 5, 0); err == nil {
			t.Errorf("the key of %s opens the packet", name)
		}
	}
	if a.Rendezvous() != b.Rendezvous() {
		t.Error("the two ends do not meet")
	}
}
