//go:build !linux

package capture

import (
	"context"
	"errors"
)

// Capture is not to be had here.
type Capture struct{}

var errLinux = errors.New("capture: only Linux has nftables; use a proxy or forwarded ports")

// Open refuses.
func Open(context.Context, Config) (*Capture, error) { return nil, errLinux }

// Run is never called.
func (*Capture) Run(_, _ context.Context) error { return errLinux }

// Active is never called.
func (*Capture) Active() (streams, flows int) { return 0, 0 }

// Close is never called.
func (*Capture) Close() error { return nil }

// Sweep has nothing to do.
func Sweep(context.Context) error { return nil }
