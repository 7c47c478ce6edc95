package serval

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/serval-net/serval/internal/flowset"
)

// Causes found in an [OpError] with errors.Is.
var (
	// ErrNoService: no instance of the service is known, or the instances that
	// were asked do not serve it.
	ErrNoService = errors.New("no such service")
	// ErrRefused: every instance that answered declined.
	ErrRefused = errors.New("refused")
	// ErrNotAuthorized: a certificate does not allow this name, or comes from
	// another cluster.
	ErrNotAuthorized = errors.New("not authorised")
	// ErrTimeout: nobody answered in time. It also satisfies net.Error.Timeout.
	ErrTimeout error = timeoutError{}
	// ErrClosed: the node, listener or connection was closed here.
	ErrClosed = errors.New("closed")
	// ErrReset: the peer ended the connection.
	ErrReset = errors.New("connection reset by the peer")
	// ErrNoRule: the node has no rule of that ID.
	ErrNoRule = errors.New("no such rule")
	// ErrInUse: this node already listens on that name.
	ErrInUse = errors.New("name already in use on this node")
)

type timeoutError struct{}

func (timeoutError) Error() string   { return "timed out" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// OpError is what went wrong with which service, as in package net.
type OpError struct {
	Op      string // "dial", "listen", "read", ...
	Service string // as the caller named it
	Tried   int    // how many instances a dial asked
	Err     error  // the cause; errors.Is sees through to the sentinels
}

func (e *OpError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "serval: %s %s: %v", e.Op, e.Service, e.Err)
	switch e.Tried {
	case 0:
	case 1:
		b.WriteString(" (tried 1 instance)")
	default:
		fmt.Fprintf(&b, " (tried %d instances)", e.Tried)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// Timeout reports whether the cause was a timeout.
func (e *OpError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary is part of net.Error; it equals Timeout.
func (e *OpError) Temporary() bool { return e.Timeout() }

// errTooLong is a datagram too long for the path. It is what a UDP socket says,
// too: programs that try how long datagrams may be look for that.
var errTooLong = fmt.Errorf("%w (%w)", flowset.ErrTooLong, syscall.EMSGSIZE)

var errNodeClosed = because(ErrClosed, "the node was closed; make another with NewNode")

// causeError is a sentinel with a sentence.
type causeError struct {
	cause error
	text  string
}

func (e *causeError) Error() string { return e.text }
func (e *causeError) Unwrap() error { return e.cause }

func because(cause error, format string, args ...any) error {
	return &causeError{cause, fmt.Sprintf(format, args...)}
}
