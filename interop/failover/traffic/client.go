//go:build linux

package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// client is the connections of one client process.
type client struct {
	conns []net.Conn
	rec   *recorder
	stop  chan struct{}
	done  chan struct{} // closed when the first connection's work is over
}

// open dials and starts the work.
func open(ctx context.Context, t Transport, spec Spec) (*client, error) {
	c := &client{rec: newRecorder(seedUp, seedDown), stop: make(chan struct{}), done: make(chan struct{})}
	c.conns = make([]net.Conn, max(spec.Conns, 1))
	failed := make(chan error, len(c.conns))
	var wg sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i := range c.conns {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			conn, err := t.Dial(ctx, spec.Addrs)
			if err == nil {
				_, err = conn.Write([]byte{spec.Kind.op()})
			}
			if err != nil {
				failed <- err
			}
			c.conns[i] = conn
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return nil, err
	default:
	}
	go func() {
		defer close(c.done)
		c.work(spec.Kind, c.conns[0])
	}()
	return c, nil
}

func (c *client) work(kind Kind, conn net.Conn) {
	switch kind {
	case Down:
		go func() {
			<-c.stop
			end(conn, c.rec)
		}()
		receive(conn, c.rec)
	case Up:
		send(conn, c.rec, c.stop)
		receive(conn, c.rec)
	case Ask:
		ask(conn, c.rec, c.stop)
	case Idle:
		<-c.stop
	}
}

// finish ends the work, for which it waits no longer than given, and returns
// the record.
func (c *client) finish(wait time.Duration) Record {
	close(c.stop)
	select {
	case <-c.done:
	case <-time.After(wait):
		c.rec.failed(fmt.Errorf("the stream did not end within %v", wait))
	}
	rec := c.rec.report()
	rec.Detail = detail(c.conns[0])
	return rec
}

// Touched says how idle connections answered when touched.
type Touched struct {
	Answered int
	Last     time.Duration // when the last one did, by Now
	Error    string
}

// touch sends a byte on every connection at once and waits for its echo.
func (c *client) touch(wait time.Duration) Touched {
	var mu sync.Mutex
	var t Touched
	var wg sync.WaitGroup
	for i, conn := range c.conns {
		wg.Go(func() {
			err := trip(conn, byte(i), wait)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error = err.Error()
				return
			}
			t.Answered++
			t.Last = max(t.Last, Now())
		})
	}
	wg.Wait()
	return t
}

func trip(conn net.Conn, b byte, wait time.Duration) error {
	conn.SetDeadline(time.Now().Add(wait))
	defer conn.SetDeadline(time.Time{})
	buf := []byte{b}
	if _, err := conn.Write(buf); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, buf); err != nil {
		return err
	}
	if buf[0] != b {
		return errors.New("the echo is another connection's")
	}
	return nil
}

// Moved says how a series of moves went.
type Moved struct {
	Count int
	Took  time.Duration
	Error string
}

// move moves the connection count times from interface to interface.
func (c *client) move(count int, ifaces []string) Moved {
	m, ok := c.conns[0].(Mover)
	if !ok {
		return Moved{Error: fmt.Sprintf("%T cannot be moved", c.conns[0])}
	}
	var out Moved
	start := time.Now()
	for i := range count {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		err := m.Move(ctx, ifaces[i%len(ifaces)])
		cancel()
		if err != nil {
			out.Error = fmt.Sprintf("move %d to %s: %v", i, ifaces[i%len(ifaces)], err)
			break
		}
		out.Count++
	}
	out.Took = time.Since(start)
	return out
}
