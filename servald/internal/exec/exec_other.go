//go:build !linux

package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/serval-net/serval/servald/internal/tun"
)

// Config describes what a carrier does.
type Config struct {
	Command []string
	Open    func(ctx context.Context) (h tun.Handler, close func() error, err error)
	Server  netip.Addr
	Verbose bool
	Log     *slog.Logger
}

var errUnsupported = &Error{CodeFailed, fmt.Errorf("servald exec needs network namespaces, which only Linux has (%w): use `servald socks5` or `servald forward`", errors.ErrUnsupported)}

// Front is only there on Linux.
func Front([]string, func(fd int) []string) (int, error) { return 0, errUnsupported }

// Carry is only there on Linux.
func Carry(context.Context, int, Config) error { return errUnsupported }

// HasIPv6 is not known here.
func HasIPv6() bool { return false }
