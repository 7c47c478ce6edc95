package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicConfig suits QUIC to the datagrams below it. They carry
// serval.SafeDatagram bytes on every path; 1200 is what QUIC cannot do without.
// Longer packets, which it would try otherwise, are refused. And as serval keeps
// connections through long outages, so should QUIC.
func quicConfig() *quic.Config {
	return &quic.Config{
		InitialPacketSize:       1200,
		DisablePathMTUDiscovery: true,
		MaxIdleTimeout:          5 * time.Minute,
	}
}

// serverTLS has a certificate that nobody vouches for. QUIC insists on one, but
// who is who was settled below: serval lets a client reach nobody but those that
// may serve the name, and encrypts what they say.
func serverTLS() (*tls.Config, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	return http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}), nil
}

// clientTLS believes any certificate; see serverTLS.
func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
