package config

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Duration is a time such as "30s" or "5m" in a configuration. It is no number there:
// of what unit would it be?
type Duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration; write a number with a unit, such as 500ms, 30s, 5m or 1h", text)
	}
	if v < 0 {
		return fmt.Errorf("%q is less than 0", text)
	}
	d.Duration = v
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Or returns the duration, or another if it is 0.
func (d Duration) Or(other time.Duration) time.Duration {
	if d.Duration == 0 {
		return other
	}
	return d.Duration
}

// Listen is where to listen: Network is "tcp", "udp" or "unix".
type Listen struct{ Network, Address string }

// UnmarshalText reads "host:port", "port" (of localhost), "udp:host:port" and
// "unix:PATH".
func (l *Listen) UnmarshalText(text []byte) error {
	s := string(text)
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%q: write the whole path of a socket, such as unix:/run/web.sock", s)
		}
		*l = Listen{"unix", path}
		return nil
	}
	network := "tcp"
	if rest, ok := strings.CutPrefix(s, "udp:"); ok {
		network, s = "udp", rest
	}
	if !strings.Contains(s, ":") {
		s = "localhost:" + s
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil && host == "" {
		// What is meant to be for this host only must not be open to all by an omission.
		err = errors.New("no host")
	}
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
		return fmt.Errorf("%q is nowhere to listen; write host:port, such as localhost:8080 (0.0.0.0:8080 for all addresses), udp:host:port or unix:PATH", text)
	}
	*l = Listen{network, net.JoinHostPort(host, port)}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (l Listen) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String is what UnmarshalText reads.
func (l Listen) String() string {
	if l.Network == "tcp" {
		return l.Address
	}
	return l.Network + ":" + l.Address
}

var (
	_ encoding.TextUnmarshaler = (*Duration)(nil)
	_ encoding.TextUnmarshaler = (*Listen)(nil)
)
