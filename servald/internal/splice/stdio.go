package splice

import (
	"context"
	"io"
	"net"
)

// Stdio copies in to conn and conn to out, as netcat does, until the peer ends its
// direction; the end of in is passed on as a half-close. It closes conn.
//
// A read of in that never returns outlives the call: in is meant to be the standard
// input of a program that is about to exit.
func Stdio(ctx context.Context, conn net.Conn, in io.Reader, out io.Writer) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	sent := make(chan error, 1)
	go func() {
		_, err := Copy(conn, in)
		if err == nil {
			err = CloseWrite(conn)
		}
		sent <- err
	}()
	_, err := Copy(out, conn)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	select {
	case err = <-sent: // may be the reason why the peer ended
		return err
	default:
		return nil
	}
}
