package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

func interrupt(p *os.Process) error { return p.Kill() }

// isNotConnected reports that the peer had gone before a half-close.
func isNotConnected(err error) bool {
	const wsaENOTCONN = syscall.Errno(10057)
	return errors.Is(err, wsaENOTCONN)
}

func isResetByOS(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.WSAECONNABORTED)
}

// copyKernel copies from a socket of the kernel.
func copyKernel(dst io.Writer, src net.Conn) (int64, error) { return copyPooled(dst, src) }
