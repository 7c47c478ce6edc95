package serval

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// serveHTTP3 serves a body by HTTP/3, as any program would that has a
// net.PacketConn.
func serveHTTP3(t *testing.T, p *PacketConn, body []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	must(t, err)
	srv := &http3.Server{
		TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }),
		Logger:    slog.New(slog.DiscardHandler), // services have no port to announce
	}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(p) }()
	t.Cleanup(func() {
		srv.Close()
		p.Close()
		<-done
	})
}

// http3Client returns a client of a service: each QUIC connection is bound to an
// instance.
func http3Client(t *testing.T, n *Node) *http.Client {
	t.Helper()
	p, err := n.DialPacket()
	must(t, err)
	over := &quic.Transport{Conn: p}
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // of the certificate above
		Dial: func(ctx context.Context, addr string, tls *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			to, err := p.Bind(ctx, addr)
			if err != nil {
				return nil, err
			}
			return over.Dial(ctx, to, tls, cfg)
		}}
	t.Cleanup(func() {
		tr.Close()
		over.Close()
		p.Close()
	})
	return &http.Client{Transport: tr, Timeout: 60 * time.Second}
}

// TestHTTP3 runs quic-go with its defaults, which try packets that are too long
// and must learn that they are.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.delay(1, 2, time.Millisecond)
	client, server := l.node(1), l.node(2)
	p, err := server.ListenPacket("svc:files")
	must(t, err)
	want := noise(1 << 20)
	serveHTTP3(t, p, want)
	resp, err := http3Client(t, client).Get("https://files.svc.serval/")
	must(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, want) || resp.Proto != "HTTP/3.0" {
		t.Fatalf("%s: got %d of %d bytes, %v", resp.Proto, len(got), len(want), err)
	}
}

// TestHTTP3AcrossInterfaces: a download goes on while the interface that it runs
// over goes away, then the other one; QUIC knows nothing of it.
func TestHTTP3AcrossInterfaces(t *testing.T) {
	for _, policy := range []Policy{{}, {Mode: Failover}} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			w := newTwo(t, Config{Policy: policy}, Config{})
			p, err := w.server.ListenPacket("svc:files")
			must(t, err)
			body := noise(size(24 << 20))
			serveHTTP3(t, p, body)
			resp, err := http3Client(t, w.client).Get("https://files.svc.serval/")
			must(t, err)
			defer resp.Body.Close()
			got, sum := 0, sha256.New()
			begin, last, longest := time.Now(), time.Now(), time.Duration(0)
			buf := make([]byte, 64<<10)
			for step := 1; ; {
				n, err := resp.Body.Read(buf)
				sum.Write(buf[:n])
				got += n
				longest = max(longest, time.Since(last))
				last = time.Now()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("after %d bytes: %v", got, err)
				}
				if got > step*len(body)/4 {
					switch step {
					case 1:
						w.clientHost.Interface(w.c1).SetUp(false)
					case 2:
						w.clientHost.Interface(w.c1).SetUp(true)
						w.clientHost.Interface(w.c2).SetUp(false)
					case 3:
						w.clientHost.Interface(w.c2).SetUp(true)
						w.serverHost.Interface(w.s1).SetUp(false)
					}
					step++
				}
			}
			t.Logf("%d bytes in %v, the longest pause %v", got, time.Since(begin), longest)
			if want := sha256.Sum256(body); !bytes.Equal(sum.Sum(nil), want[:]) {
				t.Error("other bytes arrived")
			}
		})
	}
}
