package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Send sends a list and returns when the receiver has confirmed all of it. It closes
// conn, and ends early when ctx is done.
func Send(ctx context.Context, conn net.Conn, list *List, opt Options) (Summary, error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	if _, err := greet(conn, opt.Dialed, hello{Role: sending, Bytes: list.Bytes}); err != nil {
		return Summary{}, errOr(ctx, err)
	}
	// The receiver may give up at any moment; then there is no point in going on.
	type answer struct {
		outcome
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		if a.err = readMessage(conn, &a.outcome); a.err == nil && a.Error != "" {
			a.err = fmt.Errorf("the receiver reports: %.300q", a.Error)
		}
		answered <- a
		if a.err != nil {
			conn.SetWriteDeadline(time.Now())
		}
	}()
	sent, err := sendAll(conn, list, opt.events())
	if err != nil {
		// The receiver's reason is better than ours, and follows if there is one. If
		// the fault is here, it learns of it from the end of the stream.
		var local *localError
		if errors.As(err, &local) {
			conn.Close()
			<-answered
			return sent, err
		}
		conn.SetReadDeadline(time.Now().Add(helloTime))
		if a := <-answered; a.err != nil && a.Error != "" {
			err = a.err
		}
		return sent, errOr(ctx, err)
	}
	a := <-answered
	if a.err != nil {
		return sent, errOr(ctx, a.err)
	}
	if a.Summary != sent {
		return sent, fmt.Errorf("the receiver has %+v of %+v", a.Summary, sent)
	}
	return sent, nil
}

// localError is a fault of the sender's own files.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

func sendAll(conn net.Conn, list *List, events Events) (Summary, error) {
	var sum Summary
	events.Start(list.Bytes)
	buf := make([]byte, blockSize)
	for _, it := range list.items {
		if it.Dir {
			sum.Dirs++
			if err := writeMessage(conn, it.entry); err != nil {
				return sum, err
			}
			continue
		}
		events.Item(it.Path)
		if err := sendFile(conn, it, buf, events); err != nil {
			return sum, err
		}
		sum.Files++
		sum.Bytes += it.Size
	}
	return sum, writeMessage(conn, entry{End: true})
}

func sendFile(conn net.Conn, it item, buf []byte, events Events) error {
	f, err := os.Open(it.source)
	if err != nil {
		return &localError{err}
	}
	defer f.Close()
	if err := writeMessage(conn, it.entry); err != nil {
		return err
	}
	sum := sha256.New()
	for left := it.Size; left > 0; {
		n, err := f.Read(buf[:min(left, int64(len(buf)))])
		if err == io.EOF {
			return &localError{fmt.Errorf("%s became shorter while it was being sent: send it again", it.source)}
		}
		if err != nil {
			return &localError{err}
		}
		sum.Write(buf[:n])
		if _, err := conn.Write(buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
		events.Add(n)
	}
	_, err = conn.Write(sum.Sum(nil))
	return err
}

// errOr returns why ctx is done, if it is, else err.
func errOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
