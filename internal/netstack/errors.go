package netstack

import (
	"errors"
	"net"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// ErrReset is returned by Read and Write once TCP reset the connection without
// being told why.
var ErrReset = errors.New("netstack: the connection was reset; open a new one")

// fail sets the error that Read and Write return from when TCP is reset. Only
// the first counts.
func (c *Conn) fail(err error) { c.failure.CompareAndSwap(nil, &err) }

// writeError translates what TCP returned to Write.
func (c *Conn) writeError(err tcpip.Error) error {
	_, ended := err.(*tcpip.ErrClosedForSend)
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case ended && c.mute.Load() && c.failure.Load() == nil:
		return syscall.EPIPE
	}
	return c.resetError()
}

// resetError returns why TCP was reset.
func (c *Conn) resetError() error {
	if failure := c.failure.Load(); failure != nil {
		return *failure
	}
	if c.e.stack.closed.Load() {
		return net.ErrClosed
	}
	return ErrReset
}
