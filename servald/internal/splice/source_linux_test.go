package splice

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/netstack"
	"github.com/serval-net/serval/servald/internal/conntest"
)

// taker copies from a netstack.Source as a serval.Conn does.
type taker struct {
	bytes.Buffer
	t *testing.T
}

func (w *taker) ReadFrom(r io.Reader) (written int64, err error) {
	src, ok := r.(netstack.Source)
	if !ok {
		w.t.Fatalf("copied from a %T", r)
	}
	for {
		n, err := src.Buffered()
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		b := make([]byte, n)
		if n, err = src.Read(b); n != len(b) || err != nil {
			w.t.Fatalf("%d of %d bytes were there, %v", n, len(b), err)
		}
		w.Write(b)
		written += int64(n)
	}
}

func TestCopyFromSocketWithoutBuffer(t *testing.T) {
	client, server := conntest.TCP(t)
	want := random(3 << 20)
	go func() {
		client.Write(want[:1])
		time.Sleep(time.Millisecond)
		client.Write(want[1:])
		client.CloseWrite()
	}()
	got := &taker{t: t}
	n, err := Copy(got, server)
	if err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("copied %d bytes, %v", n, err)
	}
}

func TestCopyFromSocketThatIsReset(t *testing.T) {
	client, server := conntest.TCP(t)
	client.SetLinger(0)
	client.Close()
	_, err := Copy(&taker{t: t}, server)
	if !errors.Is(err, syscall.ECONNRESET) || !IsReset(err) || !isRead(err) {
		t.Errorf("got %v", err)
	}
	server.Close()
	if _, err := Copy(&taker{t: t}, server); !errors.Is(err, net.ErrClosed) {
		t.Errorf("from a closed socket: %v", err)
	}
}
