package serval

import (
	"os"
	"sync"
	"time"
)

// maxInbox bounds the datagrams that wait to be read; like a socket's buffer,
// a full inbox drops what arrives.
const maxInbox = 1024

// message is a received datagram and whom it is from.
type message struct {
	b    []byte
	from *link
}

// inbox is a bounded queue of datagrams with a read deadline.
type inbox struct {
	deadline deadline
	queue    chan message
	once     sync.Once
	ended    chan struct{}
	err      error // valid once ended is closed
}

func newInbox() *inbox {
	in := &inbox{queue: make(chan message, maxInbox), ended: make(chan struct{})}
	in.deadline.init()
	return in
}

func (in *inbox) put(m message) {
	select {
	case in.queue <- m:
	default:
	}
}

// get waits for a datagram. What has arrived is returned even if the deadline
// has passed or the connection ended.
func (in *inbox) get() (message, error) {
	select {
	case m := <-in.queue:
		return m, nil
	default:
	}
	select {
	case m := <-in.queue:
		return m, nil
	case <-in.ended:
		return message{}, in.err
	case <-in.deadline.wait():
		return message{}, os.ErrDeadlineExceeded
	}
}

func (in *inbox) close(err error) {
	in.once.Do(func() {
		in.err = err
		close(in.ended)
	})
}

// deadline is a moment after which waiting is pointless, changeable while
// someone waits.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

func (d *deadline) init() { d.passed = make(chan struct{}) }

// wait returns a channel that is closed at the deadline.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // it fires, or fired
	}
	d.timer = nil
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	passed := d.passed
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(passed) })
		return
	}
	close(passed)
}
