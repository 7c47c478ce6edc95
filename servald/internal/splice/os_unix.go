//go:build unix

package splice

import (
	"errors"
	"os"
	"syscall"
)

func interrupt(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// isNotConnected reports that the peer had gone before a half-close.
func isNotConnected(err error) bool { return errors.Is(err, syscall.ENOTCONN) }
