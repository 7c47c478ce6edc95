package main

import (
	"context"
	"crypto/ecdh"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

// Addresses inside the tunnel, and the port of the server there.
var (
	clientInside = netip.MustParseAddr("192.168.77.2")
	serverInside = netip.MustParseAddr("192.168.77.1")
)

const port = 80

// tunnel is TCP between two netstacks through one WireGuard tunnel, MTU 1420.
// The tunnel's handshake happens once; a Dial is TCP's alone.
type tunnel struct {
	once sync.Once
	net  *netstack.Net
	err  error
}

func (t *tunnel) Listen(addr netip.AddrPort) (net.Listener, error) {
	n, err := up(serverInside, clientInside, fmt.Sprintf("listen_port=%d\n", addr.Port()), "")
	if err != nil {
		return nil, err
	}
	return n.ListenTCP(&net.TCPAddr{Port: port})
}

func (t *tunnel) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	t.once.Do(func() {
		t.net, t.err = up(clientInside, serverInside, "", fmt.Sprintf("endpoint=%v\n", addr))
	})
	if t.err != nil {
		return nil, t.err
	}
	return t.net.DialContextTCPAddrPort(ctx, netip.AddrPortFrom(serverInside, port))
}

// up brings up a device at the inside address self, with one peer.
func up(self, peer netip.Addr, deviceSettings, peerSettings string) (*netstack.Net, error) {
	tun, n, err := netstack.CreateNetTUN([]netip.Addr{self}, nil, 1420)
	if err != nil {
		return nil, err
	}
	d := device.NewDevice(tun, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	private, _ := keys(self)
	_, public := keys(peer)
	settings := "private_key=" + private + "\n" + deviceSettings +
		"public_key=" + public + "\nallowed_ip=" + peer.String() + "/32\n" + peerSettings
	if err := d.IpcSet(settings); err != nil {
		return nil, err
	}
	return n, d.Up()
}

// keys returns the key pair of a side in hex, derived from its address so that
// both processes know it.
func keys(of netip.Addr) (private, public string) {
	seed := make([]byte, 32)
	copy(seed, of.AsSlice())
	key, err := ecdh.X25519().NewPrivateKey(seed)
	if err != nil {
		panic(err) // only a wrong length fails
	}
	return hex.EncodeToString(seed), hex.EncodeToString(key.PublicKey().Bytes())
}
