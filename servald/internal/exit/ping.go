package exit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Ping implements tun.Handler: it sends dst one echo request and waits for the reply.
func (e *Exit) Ping(ctx context.Context, dst netip.Addr) error {
	if err := e.check(dst); err != nil {
		return err
	}
	conn, peer, err := openICMP(dst)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn.SetDeadline(time.Now().Add(pingTimeout))

	// The kernel may put in an ID of its own, so that the data is what a reply is known by.
	data := binary.BigEndian.AppendUint64([]byte("serval"), rand.Uint64())
	request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: rand.IntN(1 << 16), Seq: 1, Data: data}}
	protocol, reply := 1, icmp.Type(ipv4.ICMPTypeEchoReply)
	if dst.Is6() {
		request.Type, protocol, reply = ipv6.ICMPTypeEchoRequest, 58, ipv6.ICMPTypeEchoReply
	}
	b, err := request.Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(b, peer); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != reply {
			continue
		}
		if echo, ok := m.Body.(*icmp.Echo); ok && bytes.Equal(echo.Data, data) {
			return nil
		}
	}
}

// openICMP opens a socket for echo requests to dst: one for users, which the sysctl
// net.ipv4.ping_group_range admits to it, else one for root.
func openICMP(dst netip.Addr) (*icmp.PacketConn, net.Addr, error) {
	users, root := "udp4", "ip4:icmp"
	if dst.Is6() {
		users, root = "udp6", "ip6:ipv6-icmp"
	}
	conn, err := icmp.ListenPacket(users, "")
	if err == nil {
		return conn, &net.UDPAddr{IP: dst.AsSlice()}, nil
	}
	conn, rootErr := icmp.ListenPacket(root, "")
	if rootErr != nil {
		return nil, nil, fmt.Errorf("this process may not ping; the sysctl net.ipv4.ping_group_range lets its group: %w", errors.Join(err, rootErr))
	}
	return conn, &net.IPAddr{IP: dst.AsSlice()}, nil
}
