package sections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/serval-net/serval/servald/internal/config"
)

// listen listens at an address of the configuration. The socket of a servald that was
// killed is replaced.
func listen(ctx context.Context, l config.Listen) (net.Listener, error) {
	if l.Network == "unix" {
		if err := removeStale(l.Address); err != nil {
			return nil, err
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, l.Network, l.Address)
	return ln, explain(l, err)
}

// explain says what to do about an address that cannot be listened at.
func explain(l config.Listen, err error) error {
	var what string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		what = "another program listens there; end it (`ss -lnp` shows which) or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		what = "no interface of this host has that address"
	case errors.Is(err, fs.ErrPermission):
		what = "ports below 1024 need root or CAP_NET_BIND_SERVICE, and sockets a directory that can be written"
	default:
		return err
	}
	return fmt.Errorf("cannot listen at %s: %s (%w)", l, what, err)
}

// removeStale removes a socket at which nobody answers, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is in the way and no socket; remove it or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return nil // the bind will say that it is in use
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("whether somebody listens at %s cannot be seen: %w", path, err)
	}
	return os.Remove(path)
}
