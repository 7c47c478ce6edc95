//go:build linux

package traffic

import (
	"errors"
	"io"
	"net"
)

// send writes the stream until stop is closed, then ends it.
func send(c net.Conn, r *recorder, stop <-chan struct{}) {
	b := make([]byte, chunk)
	for {
		select {
		case <-stop:
			end(c, r)
			return
		default:
		}
		r.next(b)
		n, err := c.Write(b)
		r.sent(b[:n])
		if err != nil {
			r.failed(err)
			return
		}
	}
}

// end ends what is sent, and reports whether that went well.
func end(c net.Conn, r *recorder) bool {
	err := closeWrite(c)
	if err != nil {
		r.failed(err)
	}
	return err == nil
}

// receive reads the stream to its end.
func receive(c net.Conn, r *recorder) {
	b := make([]byte, chunk)
	for {
		n, err := c.Read(b)
		if n > 0 {
			r.received(b[:n])
		}
		switch {
		case errors.Is(err, io.EOF):
			r.ended()
			return
		case err != nil:
			r.failed(err)
			return
		}
	}
}

// ask makes requests, one after the other, until stop is closed.
func ask(c net.Conn, r *recorder, stop <-chan struct{}) {
	request, answer := make([]byte, requestSize), make([]byte, answerSize)
	for {
		select {
		case <-stop:
			if end(c, r) {
				receive(c, r)
			}
			return
		default:
		}
		if !exchange(c, r, request, answer) {
			return
		}
	}
}

func exchange(c net.Conn, r *recorder, out, in []byte) bool {
	r.next(out)
	n, err := c.Write(out)
	r.sent(out[:n])
	if err == nil {
		n, err = io.ReadFull(c, in)
		if n > 0 {
			r.received(in[:n])
		}
	}
	if err != nil {
		r.failed(err)
	}
	return err == nil
}

// answer answers requests until they end.
func answer(c net.Conn, r *recorder) {
	request, answer := make([]byte, requestSize), make([]byte, answerSize)
	for {
		n, err := io.ReadFull(c, request)
		if n > 0 {
			r.received(request[:n])
		}
		if errors.Is(err, io.EOF) {
			r.ended()
			err = closeWrite(c)
			if err == nil {
				return
			}
		}
		if err == nil {
			r.next(answer)
			n, err = c.Write(answer)
			r.sent(answer[:n])
		}
		if err != nil {
			r.failed(err)
			return
		}
	}
}

// echo answers each byte with itself.
func echo(c net.Conn) {
	b := make([]byte, 1)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}
