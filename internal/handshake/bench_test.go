package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

// BenchmarkOpen is a whole handshake with mutual authentication, both ends'
// work, in memory: ours up to the AEAD keys of both directions, and that of TLS
// 1.3 with client certificates. Run it with -cpu 1 to compare work, not overlap.
func BenchmarkOpen(b *testing.B) {
	b.Run("serval", func(b *testing.B) {
		l := newLab(b)
		b.ReportAllocs()
		for range b.N {
			d, s := l.establish()
			for _, end := range []*Session{d, s} {
				seal.NewSealer(end.Suite, end.SendSecret, 0)
				seal.NewOpener(end.Suite, end.RecvSecret, 0)
			}
		}
	})
	b.Run("tls-ecdsa", func(b *testing.B) {
		benchmarkTLS(b, func() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }, nil)
	})
	b.Run("tls-ed25519", func(b *testing.B) {
		benchmarkTLS(b, newEd25519, nil)
	})
	b.Run("tls-ed25519-x25519", func(b *testing.B) { // without the post-quantum key exchange
		benchmarkTLS(b, newEd25519, []tls.CurveID{tls.X25519})
	})
}

// BenchmarkSYNFlood is what one SYN costs an instance: answered, and with a
// cookie.
func BenchmarkSYNFlood(b *testing.B) {
	for _, under := range []string{"answer", "cookie"} {
		b.Run(under, func(b *testing.B) {
			l := newLab(b)
			if under == "cookie" {
				l.r.cfg.CookieThreshold = 0
			}
			syn := l.initiator().SYN()
			b.ReportAllocs()
			for range b.N {
				if _, _, err := l.r.HandleSYN(start, syn, client, l.offer); err != nil {
					b.Fatal(err)
				}
				l.r.Timeout(start.Add(halfOpenLife))
			}
		})
	}
	b.Run("duplicate", func(b *testing.B) {
		l := newLab(b)
		syn := l.initiator().SYN()
		b.ReportAllocs()
		for range b.N {
			if reply, _, _ := l.r.HandleSYN(start, syn, client, l.offer); len(reply) < sal.ShortHeaderLen {
				b.Fatal("no answer")
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newEd25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

func benchmarkTLS(b *testing.B, newKey func() crypto.Signer, curves []tls.CurveID) {
	rootKey, leafKey := newKey(), newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web"}, DNSNames: []string{"web"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, rootKey.Public(), rootKey))))
	leaf := *template
	leaf.IsCA, leaf.KeyUsage = false, x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der := must(x509.CreateCertificate(rand.Reader, &leaf, root, leafKey.Public(), rootKey))
	pool := x509.NewCertPool()
	pool.AddCert(root)
	cfg := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: leafKey}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "web",
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, CurvePreferences: curves,
	}
	b.ReportAllocs()
	for range b.N {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- tls.Server(far, cfg).Handshake() }()
		if err := tls.Client(near, cfg).Handshake(); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		near.Close()
		far.Close()
	}
}
