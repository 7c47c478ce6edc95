package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/servald/internal/outbound"
)

// echo is datagrams that come back from the port they went to.
type echo struct {
	c        chan datagram
	mu       sync.Mutex
	deadline *time.Timer
	late     chan struct{}
	closed   chan struct{}
	once     sync.Once
}

func newEcho() *echo {
	return &echo{c: make(chan datagram, 100), closed: make(chan struct{})}
}

func (e *echo) WriteTo(b []byte, port uint16) (int, error) {
	e.c <- datagram{append([]byte(nil), b...), port}
	return len(b), nil
}

func (e *echo) ReadFrom(b []byte) (int, uint16, error) {
	e.mu.Lock()
	late := e.late
	e.mu.Unlock()
	select {
	case d := <-e.c:
		return copy(b, d.b), d.port, nil
	case <-late:
		return 0, 0, os.ErrDeadlineExceeded
	case <-e.closed:
		return 0, 0, net.ErrClosed
	}
}

func (e *echo) SetReadDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deadline != nil {
		e.deadline.Stop()
	}
	late := make(chan struct{})
	e.late = late
	e.deadline = time.AfterFunc(time.Until(t), func() { close(late) })
	return nil
}

func (e *echo) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// TestFlows: a flow opens with the first datagram, keeps those that come meanwhile,
// and ends when nobody uses it.
func TestFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened, ended := 0, atomic.Int32{}
		var got []string
		table := &Table[string, string]{
			Idle: time.Minute,
			Open: func(ctx context.Context, key, client string, port uint16) (outbound.Datagrams, error) {
				if key == "none" {
					return nil, errors.New("no such service")
				}
				opened++
				time.Sleep(time.Second)
				return newEcho(), nil
			},
			Deliver: func(key string, b []byte, port uint16) { got = append(got, fmt.Sprint(key, " ", string(b), " ", port)) },
			Ended:   func(string) { ended.Add(1) },
		}
		for i := range 40 {
			table.Send("a", "me", []byte{byte('a' + i)}, uint16(i))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if opened != 1 || len(got) != maxQueued || got[1] != "a b 1" {
			t.Errorf("%d flows brought %q", opened, got)
		}
		for range 10 { // it is used, if only by one side
			time.Sleep(50 * time.Second)
			table.Send("a", "me", []byte("again"), 7)
			synctest.Wait()
		}
		if table.Len() != 1 || opened != 1 || ended.Load() != 0 {
			t.Errorf("%d flows, %d opened, %d ended", table.Len(), opened, ended.Load())
		}
		table.Send("none", "me", []byte("lost"), 7)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if table.Len() != 0 || ended.Load() != 2 {
			t.Errorf("%d flows are left, %d ended", table.Len(), ended.Load())
		}
		table.Send("a", "me", []byte("anew"), 7)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got[len(got)-1] != "a anew 7" {
			t.Errorf("%q came last", got[len(got)-1])
		}
		table.Close()
		table.Send("a", "me", []byte("late"), 7)
		if table.Len() != 0 {
			t.Error("a closed table opened a flow")
		}
	})
}

// TestQueueIsBounded: long datagrams that wait for a flow take no more than one of the
// longest.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := 0
		table := &Table[string, string]{
			Open: func(context.Context, string, string, uint16) (outbound.Datagrams, error) {
				time.Sleep(time.Second)
				return newEcho(), nil
			},
			Deliver: func(_ string, b []byte, _ uint16) { got += len(b) },
		}
		defer table.Close()
		for range maxQueued {
			table.Send("a", "me", make([]byte, maxDatagram/4), 1)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got != maxDatagram {
			t.Errorf("%d bytes waited, want %d", got, maxDatagram)
		}
	})
}

// TestFair: a client that opens more than its share loses its own flows only.
func TestFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &Table[int, string]{
			Max:     16,
			Open:    func(context.Context, int, string, uint16) (outbound.Datagrams, error) { return newEcho(), nil },
			Deliver: func(int, []byte, uint16) {},
		}
		defer table.Close()
		table.Send(-1, "modest", nil, 1)
		for i := range 1000 {
			table.Send(i, "greedy", nil, 1)
		}
		synctest.Wait()
		if n := table.Len(); n > 16 {
			t.Errorf("%d flows, at most 16 wanted", n)
		}
		table.mu.Lock()
		_, old := table.flows[0]
		_, last := table.flows[999]
		_, modest := table.flows[-1]
		table.mu.Unlock()
		if old || !last || !modest {
			t.Errorf("old %v, last %v, another's %v", old, last, modest)
		}
		table.Send(-2, "third", nil, 1)
		table.mu.Lock()
		_, third := table.flows[-2]
		table.mu.Unlock()
		if !third {
			t.Error("there was no room for a third client")
		}
	})
}
