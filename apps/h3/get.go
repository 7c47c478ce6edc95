package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// client makes HTTP/3 requests to services, which URLs name as hosts:
// https://files.svc.serval/.
type client struct {
	http3.Transport
	packets *serval.PacketConn
	quic    quic.Transport
}

func newClient(node *serval.Node) (*client, error) {
	packets, err := node.DialPacket()
	if err != nil {
		return nil, err
	}
	c := &client{packets: packets}
	c.quic.Conn = packets
	c.TLSClientConfig, c.QUICConfig, c.Dial = clientTLS(), quicConfig(), c.dial
	return c, nil
}

// dial opens a QUIC connection to an instance of a service. Which one is chosen
// now and stays: QUIC talks to one peer.
func (c *client) dial(ctx context.Context, service string, tls *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
	instance, err := c.packets.Bind(ctx, service)
	if err != nil {
		return nil, err
	}
	return c.quic.Dial(ctx, instance, tls, cfg)
}

func (c *client) Close() {
	c.Transport.Close()
	c.quic.Close()
	c.packets.Close()
}

// get fetches path from an instance of the service and writes it to w. What
// happens meanwhile, to the paths below as well, is told to log.
func get(ctx context.Context, node *serval.Node, w, log io.Writer, service, path string) error {
	name, err := sal.ParseName(service)
	if err != nil {
		return err
	}
	c, err := newClient(node)
	if err != nil {
		return err
	}
	defer c.Close()
	u := &url.URL{Scheme: "https", Host: name.DNS(), Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	start := time.Now()
	resp, err := c.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%v: %s", u, resp.Status)
	}
	fmt.Fprintf(log, "%s from %s\n", resp.Proto, resp.Header.Get(instanceHeader))
	stop := follow(ctx, node, log, start)
	n, err := io.Copy(w, resp.Body)
	stop()
	if err == nil {
		seconds := time.Since(start).Seconds()
		fmt.Fprintf(log, "%d bytes in %.2f s, %.0f Mbit/s\n", n, seconds, float64(n)*8/1e6/seconds)
	}
	return err
}

// follow tells what happens to the node's paths until stop is called.
func follow(ctx context.Context, node *serval.Node, log io.Writer, start time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	events := node.Events(ctx)
	go func() {
		defer close(done)
		for e := range events {
			fmt.Fprintf(log, "%.2f s: %v, %s %v > %v\n", e.Time.Sub(start).Seconds(), e.Kind, e.Interface, e.Local, e.Remote)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
