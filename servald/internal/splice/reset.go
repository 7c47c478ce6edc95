package splice

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

// ErrCut, as the cause of a context, makes what it ends a reset instead of an end: the
// bytes that were passed on are not all, and nobody shall take them for all.
var ErrCut = errors.New("cut short")

// IsReset reports whether an error is that the other end of a connection reset it.
func IsReset(err error) bool {
	return errors.Is(err, serval.ErrReset) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || isResetByOS(err)
}

// isLost reports whether an error is that the other end of a connection can no longer be
// reached, or may no longer be.
func isLost(err error) bool {
	return errors.Is(err, serval.ErrTimeout) || errors.Is(err, serval.ErrNotAuthorized) || errors.Is(err, syscall.ETIMEDOUT) ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// isRead reports whether it was a read that failed: the innermost operation counts,
// since a copy wraps the errors of both sides.
func isRead(err error) bool {
	var n *net.OpError
	if errors.As(err, &n) {
		return n.Op == "read"
	}
	var s *serval.OpError
	return errors.As(err, &s) && s.Op == "read"
}

// Abort closes c so that its other end finds it reset: by its own method Abort if it
// has one, as serval.Conn does, or that of a TCP socket. Others are closed.
func Abort(c net.Conn) {
	switch c := c.(type) {
	case interface{ Abort() error }:
		c.Abort()
	case interface{ SetLinger(int) error }:
		c.SetLinger(0)
	}
	c.Close()
}

// abortDelivered is Abort when the other end has what was written, which it waits for
// as long as linger: a reset overtakes what is under way.
func abortDelivered(c net.Conn) {
	for end := time.Now().Add(linger); queued(c) > 0 && time.Now().Before(end); {
		time.Sleep(flushPoll)
	}
	Abort(c)
}

// flushPoll is how often it is asked whether all is delivered.
const flushPoll = 5 * time.Millisecond

// queued is how many bytes were written to c that have not arrived, 0 if unknown.
func queued(c net.Conn) int {
	switch c := c.(type) {
	case interface{ Stats() serval.Stats }:
		return c.Stats().Queued
	case *net.TCPConn:
		return unsent(c)
	}
	return 0
}

// readError is what net.Conn.Read would return.
func readError(network string, err error) error {
	return &net.OpError{Op: "read", Net: network, Err: os.NewSyscallError("read", err)}
}
