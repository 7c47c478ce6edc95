package splice

import (
	"errors"
	"os"
	"syscall"
)

func interrupt(p *os.Process) error { return p.Kill() }

// isNotConnected reports that the peer had gone before a half-close.
func isNotConnected(err error) bool {
	const wsaENOTCONN = syscall.Errno(10057)
	return errors.Is(err, wsaENOTCONN)
}
