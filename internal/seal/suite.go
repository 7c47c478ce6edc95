// Package seal protects packets with authenticated encryption: one Sealer for
// each direction of each flow, one Opener at the other end.
//
// The key schedule, with secret a connection's secret for one direction:
//
//	flow[0]  = HKDF-Expand(secret,  "serval flow key" | flow index)
//	key, iv  = HKDF-Expand(flow[n], "serval key")
//	flow[n+1]= HKDF-Expand(flow[n], "serval key update")
//
// HKDF is RFC 5869 with SHA-256. The nonce of a packet is iv XOR its 64-bit
// packet number, as in TLS 1.3 (RFC 8446 section 5.3), so a flow index must
// never be used twice in one connection and a packet number never twice in one
// flow. The low bit of n is the phase that each packet carries in its header.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"
)

// Overhead is the length in bytes of the authentication tag that sealing adds,
// the same for every suite.
const Overhead = 16

// Suite is the AEAD that protects a connection's packets.
type Suite uint8

const (
	AES128GCM        Suite = iota // fast where the CPU has AES instructions
	ChaCha20Poly1305              // fast everywhere else
)

// String returns the name of the suite as crypto/tls spells it.
func (s Suite) String() string {
	switch s {
	case AES128GCM:
		return "AES_128_GCM"
	case ChaCha20Poly1305:
		return "CHACHA20_POLY1305"
	}
	return fmt.Sprintf("Suite(%d)", uint8(s))
}

// HasAES reports whether this CPU runs AES-GCM in constant time and fast.
func HasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 ||
		cpu.ARM64.HasAES && cpu.ARM64.HasPMULL ||
		cpu.S390X.HasAES && cpu.S390X.HasAESGCM
}

// Choose returns the suite for a connection between this CPU and a peer that
// says whether it has fast AES.
func Choose(peerHasAES bool) Suite {
	if peerHasAES && HasAES() {
		return AES128GCM
	}
	return ChaCha20Poly1305
}

func (s Suite) keySize() int {
	if s == AES128GCM {
		return 16
	}
	return chacha20poly1305.KeySize
}

func (s Suite) newAEAD(key []byte) cipher.AEAD {
	if s == AES128GCM {
		block, err := aes.NewCipher(key)
		if err != nil {
			panic(err) // the key has the right size
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			panic(err) // an AES block always fits GCM
		}
		return aead
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err) // the key has the right size
	}
	return aead
}

const (
	labelFlow   = "serval flow key"
	labelKey    = "serval key"
	labelUpdate = "serval key update"
	ivSize      = 12
)

// expand panics only on a length that HKDF cannot produce; all ours are fixed.
func expand(secret *[32]byte, label string, n int) []byte {
	out, err := hkdf.Expand(sha256.New, secret[:], label, n)
	if err != nil {
		panic(err)
	}
	return out
}

// flowSecret returns flow[0] of the key schedule.
func flowSecret(secret *[32]byte, flow uint8) [32]byte {
	return [32]byte(expand(secret, labelFlow+string([]byte{flow}), 32))
}

// key is one generation's AEAD and iv.
type key struct {
	aead cipher.AEAD
	iv   [ivSize]byte
}

func newKey(s Suite, flow *[32]byte) key {
	n := s.keySize()
	b := expand(flow, labelKey, n+ivSize)
	return key{aead: s.newAEAD(b[:n]), iv: [ivSize]byte(b[n:])}
}

// nonce writes the nonce of packet pn into the caller's array, which must live
// on the heap already: passing it through the AEAD interface would move it there.
func (k *key) nonce(nonce *[ivSize]byte, pn uint64) {
	*nonce = k.iv
	for i := range 8 {
		nonce[ivSize-1-i] ^= byte(pn >> (8 * i))
	}
}
