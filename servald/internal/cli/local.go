package cli

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// local splits an address of this host into network and address: "host:port",
// ":port", "port" or "unix:PATH".
func local(addr string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path, nil
	}
	if !strings.Contains(addr, ":") {
		addr = "localhost:" + addr
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", "", usageError{fmt.Errorf("%q is not an address: write host:port or unix:PATH", addr)}
	}
	return "tcp", addr, nil
}

func dialLocal(ctx context.Context, addr string) (net.Conn, error) {
	network, address, err := local(addr)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func listenLocal(ctx context.Context, addr string) (net.Listener, error) {
	network, address, err := local(addr)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, network, address)
}
