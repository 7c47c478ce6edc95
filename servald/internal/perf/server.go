package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// grace is how long a peer may take beyond the time of a test.
const grace = 15 * time.Second

// Handle serves one stream of a test and closes it. It ends early when ctx is done,
// and in any case soon after the time that the client asked for.
func Handle(ctx context.Context, c net.Conn) error {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()

	c.SetDeadline(time.Now().Add(grace))
	var req request
	switch err := readMessage(c, &req); err {
	case nil:
	case io.EOF: // somebody only wanted to know whether we are here
		return nil
	default:
		return fmt.Errorf("reading the request of a test: %w", err)
	}
	err := req.check()
	if _, ok := c.(interface{ CloseWrite() error }); err == nil && !ok {
		err = errors.New("the connection has no half-close")
	}
	if err != nil {
		writeMessage(c, reply{Error: err.Error()})
		return err
	}
	if err := writeMessage(c, reply{}); err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(req.Duration + grace))
	if req.Reverse {
		if err := send(c, req.Duration, func(int) {}); err != nil {
			return err
		}
		// The client closes when it has everything.
		_, err := receive(c, func(int) {})
		return err
	}
	var total int64
	elapsed, err := receive(c, func(n int) { total += int64(n) })
	if err != nil {
		return err
	}
	return writeMessage(c, reply{Bytes: total, Elapsed: elapsed})
}
