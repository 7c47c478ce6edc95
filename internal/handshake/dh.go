package handshake

import (
	"crypto/ecdh"
	"crypto/rand"
	"sync/atomic"

	"github.com/cloudflare/circl/dh/x25519"
)

// keypair is an X25519 key pair. circl's X25519 makes a key in half the time
// that crypto/ecdh takes, and agrees a fifth faster; that is most of what a
// handshake costs.
type keypair struct {
	private, public x25519.Key
}

func newKeypair() keypair {
	if k := spare.Swap(nil); k != nil {
		return *k
	}
	return *makeKeypair()
}

func makeKeypair() *keypair {
	k := new(keypair)
	rand.Read(k.private[:]) // never fails
	x25519.KeyGen(&k.public, &k.private)
	return k
}

// spare is an ephemeral key for the next handshake. It is used once.
var spare atomic.Pointer[keypair]

// Prepare makes the ephemeral key of the next handshake, if there is none. Call
// it where a connection waits for the network anyway.
func Prepare() {
	if spare.Load() == nil {
		spare.Store(makeKeypair())
	}
}

func staticKeypair(key *ecdh.PrivateKey) keypair {
	return keypair{
		private: x25519.Key(key.Bytes()),
		public:  x25519.Key(key.PublicKey().Bytes()),
	}
}

// agree mixes the secret shared with the holder of the public key into s. It
// fails for the few public keys that share the same secret with everybody.
func (k *keypair) agree(s *symmetric, public *[keyLen]byte) error {
	var secret x25519.Key
	if !x25519.Shared(&secret, &k.private, (*x25519.Key)(public)) {
		return ErrForged
	}
	s.mixKey((*[keyLen]byte)(&secret))
	return nil
}
