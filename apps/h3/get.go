package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/serval-net/serval/pkg/serval"
)

// flow is a connected datagram flow in the form that quic-go wants.
type flow struct{ *serval.Conn }

func (f flow) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := f.Read(b)
	return n, f.RemoteAddr(), err
}

func (f flow) WriteTo(b []byte, _ net.Addr) (int, error) { return f.Write(b) }

// get fetches path from an instance of the service and writes it to w. What
// happens is told to log.
func get(ctx context.Context, node *serval.Node, w, log io.Writer, service, path string) error {
	transport := &http3.Transport{TLSClientConfig: clientTLS(), QUICConfig: quicConfig(),
		Dial: func(ctx context.Context, _ string, tls *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			c, err := node.DialConn(ctx, "udp", service)
			if err != nil {
				return nil, err
			}
			return quic.Dial(ctx, flow{c}, c.RemoteAddr(), tls, cfg)
		}}
	defer transport.Close()
	u := &url.URL{Scheme: "https", Host: "service", Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	start := time.Now()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", u.Path, resp.Status)
	}
	fmt.Fprintf(log, "%s from %s\n", resp.Proto, resp.Header.Get(instanceHeader))
	n, err := io.Copy(w, resp.Body)
	if err == nil {
		seconds := time.Since(start).Seconds()
		fmt.Fprintf(log, "%d bytes in %.2f s, %.0f Mbit/s\n", n, seconds, float64(n)*8/1e6/seconds)
	}
	return err
}
