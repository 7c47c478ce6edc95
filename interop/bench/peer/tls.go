package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

// tlsTCP is crypto/tls 1.3 over kernel TCP, both sides with a certificate.
type tlsTCP struct{ tcp }

func (t tlsTCP) Listen(addr netip.AddrPort) (net.Listener, error) {
	l, err := t.tcp.Listen(addr)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, mutual()), nil
}

func (t tlsTCP) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	conn, err := t.tcp.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(conn, mutual())
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// mutual returns the TLS settings of both sides, made once per process: a leaf
// certificate of the benchmark's authority, required of the peer as well, no
// resumption, and X25519 alone, which is faster than the post-quantum default
// and what the others do.
var mutual = sync.OnceValue(func() *tls.Config {
	// A fixed seed gives both processes the same authority.
	authorityKey := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "benchmark authority"},
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "bench"},
		DNSNames:     []string{"bench"},
		NotAfter:     time.Now().Add(24 * time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	must(err)
	authority, err = x509.ParseCertificate(der)
	must(err)
	der, err = x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey)
	must(err)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:                pool,
		ClientCAs:              pool,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ServerName:             "bench",
		NextProtos:             []string{"bench"},
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519},
		SessionTicketsDisabled: true,
	}
})

// must is for errors that no input can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
