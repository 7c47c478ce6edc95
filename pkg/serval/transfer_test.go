package serval

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
)

// size is how much the transfer of a test moves: less under the race detector
// and with -short.
func size(full int) int {
	if raceEnabled || testing.Short() {
		return full / 32
	}
	return full
}

// stream writes n bytes drawn from a seed and returns their hash.
func stream(w io.Writer, n int, seed byte) ([]byte, error) {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	src := rand.NewChaCha8([32]byte{seed})
	for n > 0 {
		b := buf[:min(n, len(buf))]
		src.Read(b)
		h.Write(b)
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
		n -= len(b)
	}
	return h.Sum(nil), nil
}

// collect hashes all that comes from r.
func collect(r io.Reader) (int64, []byte, error) {
	var h hash.Hash = sha256.New()
	n, err := io.Copy(h, r)
	return n, h.Sum(nil), err
}

// transfer sends n bytes from a to b and ends the stream.
func transfer(a, b *Conn, n int, seed byte) error {
	type result struct {
		n   int64
		sum []byte
		err error
	}
	got := make(chan result, 1)
	go func() {
		n, sum, err := collect(b)
		got <- result{n, sum, err}
	}()
	sum, err := stream(a, n, seed)
	if err != nil {
		return err
	}
	if err := a.CloseWrite(); err != nil {
		return err
	}
	r := <-got
	switch {
	case r.err != nil:
		return r.err
	case r.n != int64(n) || !bytes.Equal(r.sum, sum):
		return errors.New("what arrived is not what was sent")
	}
	return nil
}

// TestGigabyte moves 1 GB over a network that loses 1 %, reorders and
// duplicates.
func TestGigabyte(t *testing.T) {
	n := size(1 << 30)
	l := newLab(t)
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: time.Millisecond, Loss: 0.01, Duplicate: 0.01, Reorder: 0.01})
	a, b := l.pair()
	defer a.Close()
	defer b.Close()
	begin := time.Now()
	must(t, transfer(a, b, n, 1))
	s := a.Stats().Flows[0]
	t.Logf("%d MB in %v: %.0f MB/s, %d packets, %d lost, %d timeouts", n>>20, time.Since(begin).Round(time.Millisecond),
		float64(n)/1e6/time.Since(begin).Seconds(), s.Packets, s.Lost, s.Timeouts)
}

func TestBothDirections(t *testing.T) {
	l := newLab(t)
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: time.Millisecond, Loss: 0.01, Reorder: 0.01})
	a, b := l.pair()
	defer a.Close()
	defer b.Close()
	back := make(chan error, 1)
	go func() { back <- transfer(b, a, size(64<<20), 2) }()
	must(t, transfer(a, b, size(64<<20), 1))
	must(t, <-back)
}

// TestParallelStreams moves data on 64 connections at once. Fairness is noted,
// not judged: machines differ.
func TestParallelStreams(t *testing.T) {
	const conns = 64
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: time.Millisecond, Rate: 1e9})
	ln, err := server.Listen("svc:sink")
	must(t, err)
	var done [conns]atomic.Int64
	var wg sync.WaitGroup
	stopped := make(chan struct{})
	var once sync.Once
	var share [conns]float64
	for i := range conns {
		wg.Go(func() {
			c, err := ln.AcceptConn()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			n, _, err := collect(io.TeeReader(c, countTo{&done[i]}))
			if err != nil || n != int64(size(2<<20)) {
				t.Errorf("got %d bytes, %v", n, err)
			}
			once.Do(func() { // the first to end: how far are the others?
				for j := range share {
					share[j] = float64(done[j].Load())
				}
				close(stopped)
			})
		})
		wg.Go(func() {
			c, err := client.Dial("svc:sink")
			if err == nil {
				_, err = stream(c, size(2<<20), byte(i))
				err = errors.Join(err, c.Close())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	<-stopped
	var sum, squares float64
	for _, s := range share {
		sum += s
		squares += s * s
	}
	t.Logf("Jain's fairness of %d streams when the first ended: %.2f", conns, sum*sum/(conns*squares))
}

type countTo struct{ n *atomic.Int64 }

func (c countTo) Write(b []byte) (int, error) { c.n.Add(int64(len(b))); return len(b), nil }

// TestSlowReader: a reader that does not read stops the writer while little
// memory is in use, and loses nothing.
func TestSlowReader(t *testing.T) {
	l := newLab(t)
	a, b := l.pair()
	defer a.Close()
	defer b.Close()
	a.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	before := heapInUse()
	sent := 0
	h := sha256.New()
	buf := noise(64 << 10)
	for {
		n, err := a.Write(buf)
		sent += n
		h.Write(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		must(t, err)
	}
	grown := int(heapInUse()) - int(before)
	t.Logf("the writer stopped after %d KiB, with %d KiB in use", sent>>10, grown>>10)
	if sent > 16<<20 || grown > 24<<20 {
		t.Errorf("the writer got rid of %d bytes that nobody reads, in %d bytes of memory", sent, grown)
	}
	a.SetWriteDeadline(time.Time{})
	must(t, a.CloseWrite())
	n, sum, err := collect(b)
	if err != nil || n != int64(sent) || !bytes.Equal(sum, h.Sum(nil)) {
		t.Fatalf("read %d of %d bytes, %v", n, sent, err)
	}
}

// TestReaderWakesWriter: the window opens again each time the reader reads.
func TestReaderWakesWriter(t *testing.T) {
	l := newLab(t)
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: time.Millisecond, Loss: 0.05})
	client := l.nodeWith(Config{Window: 32 << 10, MaxWindow: 32 << 10}, ip(1))
	server := l.nodeWith(Config{Window: 32 << 10, MaxWindow: 32 << 10}, ip(2))
	a, b := l.pairOn(client, server)
	defer a.Close()
	defer b.Close()
	must(t, transfer(a, b, 2<<20, 1))
}

// TestSmallWrites: a flood of one-byte writes from several goroutines arrives
// whole.
func TestSmallWrites(t *testing.T) {
	l := newLab(t)
	a, b := l.pair()
	defer a.Close()
	defer b.Close()
	const writers, each = 4, 5000
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range each {
				if _, err := a.Write([]byte{byte(i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() {
		wg.Wait()
		a.CloseWrite()
	}()
	got, err := io.ReadAll(b)
	must(t, err)
	for i := range writers {
		if n := bytes.Count(got, []byte{byte(i)}); n != each {
			t.Errorf("%d bytes of writer %d, want %d", n, i, each)
		}
	}
	if p := a.Stats().Flows[0].Packets; p > writers*each*2 {
		t.Errorf("%d packets for %d writes", p, writers*each)
	}
}

// TestCloseDelivers: what was written before Close arrives, also over loss,
// and also if the node closes right behind.
func TestCloseDelivers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: 5 * time.Millisecond, Loss: 0.02})
	client, server := l.node(1), l.node(2)
	a, b := l.pairOn(client, server)
	const n = 1 << 20
	go func() {
		stream(a, n, 1)
		a.Close()
		client.Close()
	}()
	if got, _, err := collect(b); got != n || err != nil {
		t.Fatalf("read %d of %d bytes, %v", got, n, err)
	}
	must(t, b.Close())
}

// TestNodeCloseResets: connections still open when the node closes end at once
// at both ends, with a reason.
func TestNodeCloseResets(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	a, b := l.pairOn(client, server)
	reading := make(chan error, 1)
	go func() {
		_, err := b.Read(make([]byte, 1))
		reading <- err
	}()
	must(t, server.Close())
	_, err := a.Read(make([]byte, 1))
	sentence(t, err, ErrReset, "shutting down")
	if err := <-reading; err == nil {
		t.Error("a read on the closed node returned data")
	}
	_, err = a.Write([]byte("x"))
	if err == nil {
		t.Error("a write after the reset succeeded")
	}
	must(t, a.Close())
	if n := server.Stats(); n.Connections != 0 || n.Flows != 0 {
		t.Errorf("the closed node has %+v", n)
	}
}

// TestWriteDeadline: a deadline ends a write that waits and no later one.
func TestWriteDeadline(t *testing.T) {
	l := newLab(t)
	a, b := l.pair()
	defer a.Close()
	defer b.Close()
	wrote := make(chan error, 1)
	go func() {
		_, err := stream(a, 64<<20, 1)
		wrote <- err
	}()
	eventually(t, "the writer waits", func() bool { return a.Stats().StreamSent > 1<<20 })
	a.SetWriteDeadline(time.Now())
	err := <-wrote
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("the write ended with %v", err)
	}
	a.SetWriteDeadline(time.Time{})
	go io.Copy(io.Discard, b)
	if _, err := a.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
}

// TestSequentialConnections opens, uses and closes connections one after the
// other and finds nothing of them left.
func TestSequentialConnections(t *testing.T) {
	conns := 10_000
	if raceEnabled || testing.Short() {
		conns = 300
	}
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	use := func(n int) {
		for range n {
			c := l.dial(client, "svc:echo")
			must(t, ask(c, "x"))
			must(t, c.Close())
		}
		eventually(t, "all are forgotten", func() bool {
			return client.Stats().Flows == 0 && server.Stats().Flows == 0
		})
	}
	use(100) // pools and maps have their size
	before := heapInUse()
	use(conns)
	grown := int(heapInUse()) - int(before)
	t.Logf("%d connections left %d KiB behind", conns, grown>>10)
	if grown > 4<<20 {
		t.Errorf("%d connections left %d bytes behind", conns, grown)
	}
}
