package transfer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"
)

// ReceiveOptions say what to do with what arrives.
type ReceiveOptions struct {
	Options
	Overwrite bool  // replace files that exist
	MaxBytes  int64 // refuse more; 0 is no limit
}

// Receive puts what the peer sends below dir, which must exist, and returns when it
// has everything and has said so. It closes conn, and ends early when ctx is done.
// After an error, files that were complete stay and the incomplete one is gone.
func Receive(ctx context.Context, conn net.Conn, dir string, opt ReceiveOptions) (Summary, error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	root, err := os.OpenRoot(dir)
	if err != nil {
		return Summary{}, err
	}
	defer root.Close()
	peer, err := greet(conn, opt.Dialed, hello{Role: receiving})
	if err != nil {
		return Summary{}, errOr(ctx, err)
	}
	r := &receiver{root: root, conn: conn, opt: opt, events: opt.events(), buf: make([]byte, blockSize)}
	r.events.Start(peer.Bytes)
	err = r.receiveAll()
	if err == nil {
		return r.sum, errOr(ctx, writeMessage(conn, outcome{Summary: r.sum}))
	}
	// Tell the sender why, and keep reading until it has stopped: closing at once
	// would reset the connection, and the message would be lost.
	conn.SetDeadline(time.Now().Add(helloTime))
	if writeMessage(conn, outcome{Error: reason(err)}) == nil {
		io.CopyBuffer(io.Discard, conn, r.buf)
	}
	return r.sum, errOr(ctx, err)
}

// reason is what the sender may know of an error: not where the directory lies.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

type receiver struct {
	root   *os.Root
	conn   net.Conn
	opt    ReceiveOptions
	events Events
	buf    []byte
	sum    Summary
}

func (r *receiver) receiveAll() error {
	for {
		var e entry
		if err := readMessage(r.conn, &e); err != nil {
			return err
		}
		if err := e.check(); err != nil {
			return err
		}
		if e.End {
			return nil
		}
		if e.Dir {
			// Whatever its mode was, its owner must be able to put files into it.
			if err := r.root.MkdirAll(e.Path, e.Mode.Perm()|0o700); err != nil {
				return err
			}
			r.sum.Dirs++
			continue
		}
		if r.opt.MaxBytes > 0 && e.Size > r.opt.MaxBytes-r.sum.Bytes {
			return fmt.Errorf("%q does not fit: this side accepts at most %d bytes at once", e.Path, r.opt.MaxBytes)
		}
		r.events.Item(e.Path)
		if err := r.receiveFile(e); err != nil {
			return err
		}
		r.sum.Files++
		r.sum.Bytes += e.Size
	}
}

// receiveFile writes to a temporary name beside the final one, and renames.
func (r *receiver) receiveFile(e entry) (err error) {
	if info, err := r.root.Lstat(e.Path); err == nil && (!r.opt.Overwrite || info.IsDir()) {
		return fmt.Errorf("%q exists already: receive into another directory, or use --overwrite to replace files", e.Path)
	}
	f, temp, err := r.createTemp(e.Path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			r.root.Remove(temp)
		}
	}()
	if err := r.content(f, e); err != nil {
		return err
	}
	if err := f.Chmod(e.Mode.Perm()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if e.ModTime != 0 {
		t := time.Unix(0, e.ModTime)
		if err := r.root.Chtimes(temp, t, t); err != nil {
			return err
		}
	}
	return r.root.Rename(temp, e.Path)
}

// content copies a file's bytes to f and checks their sum.
func (r *receiver) content(f io.Writer, e entry) error {
	sum := sha256.New()
	for left := e.Size; left > 0; {
		n, err := r.conn.Read(r.buf[:min(left, int64(len(r.buf)))])
		sum.Write(r.buf[:n])
		if _, werr := f.Write(r.buf[:n]); werr != nil {
			return werr
		}
		left -= int64(n)
		r.events.Add(n)
		if err != nil && left > 0 {
			return unexpected(err)
		}
	}
	var want [sha256.Size]byte
	if _, err := io.ReadFull(r.conn, want[:]); err != nil {
		return unexpected(err)
	}
	if subtle.ConstantTimeCompare(sum.Sum(nil), want[:]) != 1 {
		return fmt.Errorf("the content of %q does not match its SHA-256: it was changed on the way or while it was read; send it again", e.Path)
	}
	return nil
}
