package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

const benchPayload = 1360

func BenchmarkSeal(b *testing.B) {
	for _, suite := range suites {
		b.Run(suite.String(), func(b *testing.B) {
			s, _ := pair(suite)
			hdr, buf := make([]byte, 12), make([]byte, benchPayload+Overhead)
			b.SetBytes(benchPayload)
			b.ReportAllocs()
			for i := range b.N {
				s.Seal(buf[:0], hdr, buf[:benchPayload], uint64(i))
			}
		})
		b.Run(fmt.Sprint(suite, "/raw"), func(b *testing.B) {
			aead := rawAEAD(b, suite)
			hdr, nonce, buf := make([]byte, 12), make([]byte, 12), make([]byte, benchPayload+Overhead)
			b.SetBytes(benchPayload)
			b.ReportAllocs()
			for range b.N {
				aead.Seal(buf[:0], nonce, buf[:benchPayload], hdr)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, suite := range suites {
		b.Run(suite.String(), func(b *testing.B) {
			s, o := pair(suite)
			hdr, buf := make([]byte, 12), make([]byte, benchPayload)
			sealed := s.Seal(nil, hdr, buf, 1)
			b.SetBytes(benchPayload)
			b.ReportAllocs()
			for range b.N {
				if _, err := o.Open(buf[:0], hdr, sealed, 1, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint(suite, "/raw"), func(b *testing.B) {
			aead := rawAEAD(b, suite)
			hdr, nonce, buf := make([]byte, 12), make([]byte, 12), make([]byte, benchPayload)
			sealed := aead.Seal(nil, nonce, buf, hdr)
			b.SetBytes(benchPayload)
			b.ReportAllocs()
			for range b.N {
				if _, err := aead.Open(buf[:0], nonce, sealed, hdr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNew is the cost of a connection's first flow, one direction: time, and bytes that stay.
func BenchmarkNew(b *testing.B) {
	for _, suite := range suites {
		b.Run(suite.String(), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				pair(suite)
			}
		})
	}
}

func rawAEAD(b *testing.B, s Suite) cipher.AEAD {
	b.Helper()
	var aead cipher.AEAD
	var err error
	if s == AES128GCM {
		var block cipher.Block
		if block, err = aes.NewCipher(make([]byte, 16)); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	} else {
		aead, err = chacha20poly1305.New(make([]byte, 32))
	}
	if err != nil {
		b.Fatal(err)
	}
	return aead
}
