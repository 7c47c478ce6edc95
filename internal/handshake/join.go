package handshake

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

// Joiner is what an open connection keeps of its handshake, to add flows: JOIN
// and JOINACK are authenticated by a key that only the two ends have, and a
// joined flow's keys come from the connection's secrets and the nonces of both
// packets, so that no two flows ever share a key.
type Joiner struct {
	suite            seal.Suite
	send, recv, join [32]byte
}

// Joiner returns what to keep of the session.
func (s *Session) Joiner() Joiner {
	return Joiner{suite: s.Suite, send: s.SendSecret, recv: s.RecvSecret, join: s.JoinSecret}
}

// Sign sets the MAC of a JOIN or JOINACK.
func (j *Joiner) Sign(p *sal.Join) { p.MAC = j.mac(p) }

// Verify reports whether a JOIN or JOINACK comes from the connection's other
// end. It may be a repetition.
func (j *Joiner) Verify(p *sal.Join) bool {
	want := j.mac(p)
	return hmac.Equal(want[:], p.MAC[:])
}

func (j *Joiner) mac(p *sal.Join) (m [16]byte) {
	h := hmac.New(sha256.New, j.join[:])
	h.Write(p.AppendMACInput(nil))
	copy(m[:], h.Sum(nil))
	return m
}

// Keys returns both directions' keys of the flow that a JOIN and its JOINACK
// opened.
func (j *Joiner) Keys(index uint8, join, ack [16]byte) (*seal.Sealer, *seal.Opener) {
	label := "serval joined flow" + string(join[:]) + string(ack[:])
	return seal.NewSealer(j.suite, derive(&j.send, label), index), seal.NewOpener(j.suite, derive(&j.recv, label), index)
}

// Rendezvous returns the name under which the two ends of the connection, and
// nobody else, can find each other at a third party.
func (j *Joiner) Rendezvous() [16]byte {
	d := derive(&j.join, "serval rendezvous")
	return [16]byte(d[:16])
}

func derive(secret *[32]byte, label string) [32]byte {
	out, err := hkdf.Expand(sha256.New, secret[:], label, 32)
	if err != nil {
		panic(err) // 32 bytes is a length that HKDF can produce
	}
	return [32]byte(out)
}
