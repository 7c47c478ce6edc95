package expose

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Target is where a server listens.
type Target struct {
	Host             string // name or IP address, without brackets
	Port             uint16 // 0 for that which the client says
	Path             string // of a Unix socket; Host is empty then
	Stream, Datagram bool   // what is served: at least one
}

// ParseTarget reads the address of a server:
//
//	host:port, :port, port   TCP; localhost if no host is given
//	host                     TCP, at the port that the client says
//	unix:PATH                a Unix socket
//	udp:host[:port]          UDP
//	tcp+udp:host[:port]      both, for one name, as name servers have them
//
// An IPv6 address with a port is written in brackets.
func ParseTarget(text string) (t Target, err error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if path == "" {
			return t, fmt.Errorf("%q has no path; write one such as unix:/run/app.sock", text)
		}
		return Target{Path: path, Stream: true}, nil
	}
	rest := text
	t.Stream = true
	for prefix, kinds := range map[string][2]bool{"tcp:": {true, false}, "udp:": {false, true}, "tcp+udp:": {true, true}, "udp+tcp:": {true, true}} {
		if r, ok := strings.CutPrefix(text, prefix); ok {
			rest, t.Stream, t.Datagram = r, kinds[0], kinds[1]
		}
	}
	if t.Host, t.Port, err = splitHost(rest); err != nil {
		return Target{}, fmt.Errorf("%q is not the address of a server: %w; write host:port, host, unix:PATH or udp:host:port", text, err)
	}
	return t, nil
}

func splitHost(text string) (host string, port uint16, err error) {
	bare, bracketed := strings.CutPrefix(text, "[")
	if bracketed {
		bare, bracketed = strings.CutSuffix(bare, "]")
	}
	if addr, err := netip.ParseAddr(bare); err == nil && (bracketed || bare == text) {
		return addr.String(), 0, nil
	}
	number, isPort := text, !strings.Contains(text, ":")
	if !isPort {
		if host, number, err = net.SplitHostPort(text); err != nil {
			return "", 0, errors.New("it has too many colons")
		}
	} else if _, err := strconv.Atoi(text); err != nil {
		host, isPort = text, false
		number = ""
	}
	if number != "" || strings.HasSuffix(text, ":") {
		n, err := net.LookupPort("tcp", number) // also "http"
		if err != nil || n == 0 || number == "" {
			return "", 0, fmt.Errorf("%q is no port, which is a number from 1 to 65535 or the name of one", number)
		}
		port = uint16(n)
	}
	if host == "" {
		if text == "" {
			return "", 0, errors.New("it is empty")
		}
		host = "localhost"
	}
	if strings.ContainsAny(host, " \t/@#?[]") || len(host) > 253 {
		return "", 0, fmt.Errorf("%q is no name of a host", host)
	}
	return host, port, nil
}

// AnyPort reports whether the client says the port.
func (t Target) AnyPort() bool { return t.Path == "" && t.Host != "" && t.Port == 0 }

// String returns what ParseTarget reads, with the host said.
func (t Target) String() string {
	if t.Path != "" {
		return "unix:" + t.Path
	}
	prefix := ""
	switch {
	case t.Stream && t.Datagram:
		prefix = "tcp+udp:"
	case t.Datagram:
		prefix = "udp:"
	}
	if t.Port == 0 {
		if strings.Contains(t.Host, ":") {
			return prefix + "[" + t.Host + "]"
		}
		return prefix + t.Host
	}
	return prefix + net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

// network returns the arguments to dial the server with, where said is the port
// that the client says.
func (t Target) network(said uint16) (network, address string) {
	if t.Path != "" {
		return "unix", t.Path
	}
	port := t.Port
	if port == 0 {
		port = said
	}
	return "tcp", net.JoinHostPort(t.Host, strconv.Itoa(int(port)))
}

// probeDial connects to the server to see whether it is there; nil if that cannot
// be asked.
func (p *plan) probeDial() func(context.Context) (net.Conn, error) {
	if !p.target.Stream || p.target.AnyPort() || p.OnDemand {
		return nil
	}
	return func(ctx context.Context) (net.Conn, error) {
		network, address := p.target.network(0)
		return dialer.DialContext(ctx, network, address)
	}
}
