package netstack

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"
)

const window = 4 << 20

func TestConn(t *testing.T) {
	s := newStack(t)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		x, y := pipe(t, s, s, window)
		stop := func() {
			x.Conn().Close()
			y.Conn().Close()
		}
		return x.Conn(), y.Conn(), stop, nil
	})
}

func TestHalfClose(t *testing.T) {
	s := newStack(t)
	x, y := pipe(t, s, s, window)
	a, b := x.Conn(), y.Conn()
	a.Write([]byte("question"))
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Write after CloseWrite: %v, want EPIPE", err)
	}
	got, err := io.ReadAll(b)
	if string(got) != "question" || err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	b.Write([]byte("answer"))
	b.Close()
	got, err = io.ReadAll(a)
	if string(got) != "answer" || err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v, want net.ErrClosed", err)
	}
}

func TestCloseWithUnreadDataResetsPeer(t *testing.T) {
	s := newStack(t)
	x, y := pipe(t, s, s, window)
	a, b := x.Conn(), y.Conn()
	a.Write([]byte("one"))
	one := make([]byte, 1)
	if _, err := io.ReadFull(b, one); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := a.Read(one); !errors.Is(err, errPeerReset) {
		t.Errorf("Read: %v, want %v", err, errPeerReset)
	}
	if _, err := a.Read(one); !errors.Is(err, errPeerReset) {
		t.Errorf("second Read: %v, want %v", err, errPeerReset)
	}
	if _, err := a.Write(one); !errors.Is(err, errPeerReset) {
		t.Errorf("Write: %v, want %v", err, errPeerReset)
	}
}

func TestAbort(t *testing.T) {
	s := newStack(t)
	x, y := pipe(t, s, s, window)
	why := errors.New("no reason")
	x.Conn().Abort(why)
	one := make([]byte, 1)
	if _, err := x.Conn().Read(one); !errors.Is(err, why) {
		t.Errorf("own Read: %v", err)
	}
	if _, err := y.Conn().Read(one); !errors.Is(err, errPeerReset) {
		t.Errorf("peer's Read: %v", err)
	}
}

func TestCloseRead(t *testing.T) {
	s := newStack(t)
	x, y := pipe(t, s, s, 1<<20)
	a, b := x.Conn(), y.Conn()
	if err := b.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v, want EOF", err)
	}
	// Far more than the window: it must be discarded, not block.
	if _, err := a.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	b.Write([]byte("still here"))
	b.Close()
	got, err := io.ReadAll(a)
	if string(got) != "still here" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	a.Close()
}

// TestSmallWritesSlowReader floods a reader that does not read with one-byte
// segments: TCP charges each with its overhead, and must still lose none.
func TestSmallWritesSlowReader(t *testing.T) {
	s := newStack(t)
	x, y := pipe(t, s, s, 32<<20)
	const n = 100_000
	go func() {
		b := []byte{0}
		for i := range n {
			b[0] = byte(i * i >> 3)
			x.Conn().Write(b)
		}
		x.Conn().CloseWrite()
	}()
	for y.Unread() < n {
		runtime.Gosched()
	}
	got, err := io.ReadAll(y.Conn())
	if err != nil || len(got) != n {
		t.Fatalf("read %d bytes, %v, want %d", len(got), err, n)
	}
	for i, b := range got {
		if b != byte(i*i>>3) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

func TestBulk(t *testing.T) {
	total := 256 << 20
	if testing.Short() || raceEnabled {
		total = 32 << 20
	}
	s := newStack(t)
	x, y := pipe(t, s, s, window)
	sent, got := sha256.New(), sha256.New()
	go func() {
		b := make([]byte, 200_000)
		for i := 0; i < total; i += len(b) {
			for j := 0; j < len(b); j += 97 {
				b[j] = byte(i + j*31)
			}
			b := b[:min(1+(i*7)%len(b), total-i)]
			sent.Write(b)
			x.Conn().Write(b)
			i += len(b) - 200_000
		}
		x.Conn().Close() // still delivers everything
	}()
	n, err := io.Copy(got, y.Conn())
	if err != nil || n != int64(total) {
		t.Fatalf("read %d bytes, %v, want %d", n, err, total)
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Fatal("checksums differ")
	}
}
