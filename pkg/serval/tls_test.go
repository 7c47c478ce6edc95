package serval

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/internal/underlay"
)

// tlsRoundTrips measures how long TCP with TLS 1.3 takes to open, and to answer
// a first request, on the network in memory: the least of several runs.
func tlsRoundTrips(t *testing.T, rtt time.Duration) (opened, answered time.Duration) {
	t.Helper()
	sim := simnet.New(1)
	defer sim.Close()
	sim.SetPath(ip(1), ip(2), simnet.Params{Delay: rtt / 2})
	client, server := newTCPHost(t, sim, ip(1), ip(2)), newTCPHost(t, sim, ip(2), ip(1))
	defer client.close()
	defer server.close()
	addr := tcpip.FullAddress{Addr: tcpip.AddrFrom4(ip(2).As4()), Port: 443}
	ln, err := gonet.ListenTCP(server.stack, addr, ipv4.ProtocolNumber)
	must(t, err)
	defer ln.Close()
	config := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS13}
	var wg sync.WaitGroup
	defer wg.Wait()
	opened, answered = time.Hour, time.Hour
	for range 3 {
		wg.Go(func() {
			if c, err := ln.Accept(); err == nil {
				s := tls.Server(c, config)
				io.Copy(s, s)
				s.Close()
			}
		})
		begin := time.Now()
		raw, err := gonet.DialContextTCP(context.Background(), client.stack, addr, ipv4.ProtocolNumber)
		must(t, err)
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		must(t, c.Handshake())
		opened = min(opened, time.Since(begin))
		c.Write([]byte{1})
		_, err = io.ReadFull(c, make([]byte, 1))
		must(t, err)
		answered = min(answered, time.Since(begin))
		c.Close()
	}
	return opened, answered
}

// tcpHost is an ordinary TCP/IP host whose IP packets travel in the network's
// datagrams.
type tcpHost struct {
	stack *stack.Stack
	stop  context.CancelFunc
	done  sync.WaitGroup
}

func newTCPHost(t *testing.T, sim *simnet.Network, self, peer netip.Addr) *tcpHost {
	t.Helper()
	h := &tcpHost{stack: stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})}
	link := channel.New(1024, 1400, "")
	if err := h.stack.CreateNIC(1, link); err != nil {
		t.Fatal(err)
	}
	addr := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFrom4(self.As4()).WithPrefix()}
	if err := h.stack.AddProtocolAddress(1, addr, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	h.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	sock, err := sim.Host(self).Listen(netip.AddrPortFrom(self, 1), func(b *underlay.Batch) {
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b.Data)})
		link.InjectInbound(ipv4.ProtocolNumber, pkt)
		pkt.DecRef()
	})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.done.Go(func() {
		for pkt := link.ReadContext(ctx); pkt != nil; pkt = link.ReadContext(ctx) {
			b := pkt.ToView().AsSlice()
			sock.Send(b, len(b), netip.AddrPortFrom(peer, 1))
			pkt.DecRef()
		}
	})
	return h
}

func (h *tcpHost) close() {
	h.stop()
	h.done.Wait()
	h.stack.Destroy()
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
