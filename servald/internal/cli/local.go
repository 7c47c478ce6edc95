package cli

import (
	"fmt"
	"net"
	"strings"
)

// local splits an address of this host into network and address: "host:port",
// "port" of localhost, "udp:" before one of these, or "unix:PATH".
func local(addr string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path, nil
	}
	network = "tcp"
	rest, ok := strings.CutPrefix(addr, "udp:")
	if ok {
		network = "udp"
	}
	if !strings.Contains(rest, ":") {
		rest = "localhost:" + rest
	}
	host, port, err := net.SplitHostPort(rest)
	switch {
	case err != nil || port == "":
		return "", "", usageError{fmt.Errorf("%q is not an address: write host:port, udp:host:port or unix:PATH", addr)}
	case host == "":
		// What is meant for this host must not be open to all by an omission.
		return "", "", usageError{fmt.Errorf("%q has no host: write localhost:%s, or 0.0.0.0:%[2]s to listen for all hosts", addr, port)}
	}
	if _, err := net.LookupPort(network, port); err != nil {
		return "", "", usageError{fmt.Errorf("%q in %q is no port: write a number up to 65535, or 0 for a free one", port, addr)}
	}
	return network, rest, nil
}
