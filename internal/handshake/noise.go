package handshake

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

// protocolName is 32 bytes, so it is the first hash as it stands.
const protocolName = "Noise_XX_25519_ChaChaPoly_SHA256"

const (
	keyLen = 32
	tagLen = 16
)

// symmetric is the SymmetricState of the Noise specification (section 5.2). It
// is a value: to try a packet that may be forged, try it on a copy. That is what
// github.com/flynn/noise cannot do: after a message whose last part was altered
// it takes the genuine one no more. Tests run this against it.
type symmetric struct {
	h, ck, k [32]byte
	n        uint64
	keyed    bool
}

func newSymmetric(prologue []byte) symmetric {
	s := symmetric{h: [32]byte([]byte(protocolName))}
	s.ck = s.h
	s.mixHash(prologue)
	return s
}

func (s *symmetric) mixHash(data []byte) {
	var buf [1024]byte // on the stack: a handshake message fits
	s.h = sha256.Sum256(append(append(buf[:0], s.h[:]...), data...))
}

func (s *symmetric) mixKey(dh *[keyLen]byte) {
	s.ck, s.k = derive2(&s.ck, dh[:])
	s.n, s.keyed = 0, true
}

// derive2 is the HKDF of the Noise specification with two outputs, which is
// that of RFC 5869 without info.
func derive2(ck *[32]byte, ikm []byte) (a, b [32]byte) {
	prk, err := hkdf.Extract(sha256.New, ikm, ck[:])
	if err != nil {
		panic(err) // SHA-256 is always there
	}
	out, err := hkdf.Expand(sha256.New, prk, "", 64)
	if err != nil {
		panic(err) // 64 bytes is a length that HKDF can produce
	}
	return [32]byte(out), [32]byte(out[32:])
}

func (s *symmetric) aead() (cipher.AEAD, []byte) {
	aead, err := chacha20poly1305.New(s.k[:])
	if err != nil {
		panic(err) // the key has the right size
	}
	var nonce [chacha20poly1305.NonceSize]byte
	binary.LittleEndian.PutUint64(nonce[4:], s.n)
	return aead, nonce[:]
}

// seal is EncryptAndHash: it appends the ciphertext to dst.
func (s *symmetric) seal(dst, plaintext []byte) []byte {
	start := len(dst)
	if s.keyed {
		aead, nonce := s.aead()
		dst = aead.Seal(dst, nonce, plaintext, s.h[:])
		s.n++
	} else {
		dst = append(dst, plaintext...)
	}
	s.mixHash(dst[start:])
	return dst
}

// open is DecryptAndHash: it returns the plaintext, or ErrForged.
func (s *symmetric) open(ciphertext []byte) ([]byte, error) {
	plaintext := ciphertext
	if s.keyed {
		aead, nonce := s.aead()
		var err error
		if plaintext, err = aead.Open(nil, nonce, ciphertext, s.h[:]); err != nil {
			return nil, ErrForged
		}
		s.n++
	}
	s.mixHash(ciphertext)
	return plaintext, nil
}

// split returns the secrets of both directions.
func (s *symmetric) split() (fromDialler, fromInstance [32]byte) {
	return derive2(&s.ck, nil)
}
