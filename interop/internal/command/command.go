// Package command is what the commands below interop have in common: how they
// begin, wait and end.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrInterrupted is what a command returns whose context ended early.
var ErrInterrupted = errors.New("interrupted")

// Main runs a command. If it fails, it says why, after the name, and ends the
// process.
func Main(name string, run func() error) {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// ParseFlags reads the command line of a command that takes nothing but flags.
func ParseFlags() error {
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flag.Arg(0))
	}
	return nil
}

// Interruptible returns a context that ends when the command is asked to end. Call
// it only in the process that cleans up: signals have their usual effect no more.
func Interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// Pause waits, or until the context ends.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
