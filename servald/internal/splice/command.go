package splice

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"sync"
	"time"
)

// killDelay is how long a command may take to end after it was asked to, and its
// children to let go of its output.
const killDelay = 5 * time.Second

// Command runs cmd with its standard input and output on conn, as inetd does, until
// it exits, and closes conn. The peer's half-close is the command's end of input.
// The command is interrupted when ctx is done or the connection fails, and killed if
// that does not end it. Of cmd, which must not have been started, Path, Args, Env,
// Dir and Stderr are used.
func Command(ctx context.Context, conn net.Conn, cmd *exec.Cmd) error {
	whole := ctx
	defer func() {
		if errors.Is(context.Cause(whole), ErrCut) {
			Abort(conn) // the answer is not all
		}
		conn.Close()
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := exec.CommandContext(ctx, cmd.Path)
	run.Args, run.Env, run.Dir, run.Stderr = cmd.Args, cmd.Env, cmd.Dir, cmd.Stderr
	run.Cancel = func() error { return interrupt(run.Process) }
	run.WaitDelay = killDelay
	run.Stdout = struct{ io.Writer }{conn}
	stdin, err := run.StdinPipe()
	if err != nil {
		return err
	}
	if cmd.Err != nil { // the program was not found
		return cmd.Err
	}
	if err := run.Start(); err != nil {
		return err
	}

	var wg sync.WaitGroup
	wg.Go(func() {
		in := &reader{Reader: conn}
		Copy(stdin, in)
		stdin.Close()
		// What the command did not want is read all the same: closing a connection
		// with unread input resets it, and would take the answer with it.
		Copy(io.Discard, in)
		if in.err != io.EOF {
			cancel()
		}
	})
	err = run.Wait()
	if cerr := CloseWrite(conn); err == nil {
		err = cerr
	}
	conn.SetReadDeadline(time.Now().Add(linger))
	wg.Wait()
	return err
}

// reader keeps the first error of a Read: a socket reports a reset only once.
type reader struct {
	io.Reader
	err error
}

func (r *reader) Read(b []byte) (n int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	n, r.err = r.Reader.Read(b)
	return n, r.err
}
