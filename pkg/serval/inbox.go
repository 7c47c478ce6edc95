package serval

import (
	"os"
	"sync"
	"time"
)

const (
	// inboxBytes is what may wait to be read, as in a socket's buffer: what
	// arrives when it is full is dropped.
	inboxBytes = 4 << 20
	// messageCost is what keeping a datagram costs besides its bytes.
	messageCost = 128
)

// message is a received datagram and whom it is from.
type message struct {
	b    []byte
	from *link
	port uint16 // of the service; 0 without ports
}

func (m message) cost() int { return len(m.b) + messageCost }

// inbox is a bounded queue of datagrams with a read deadline.
type inbox struct {
	deadline deadline
	ended    chan struct{}
	more     chan struct{} // has a token when there may be something to read

	mu     sync.Mutex
	queue  []message
	head   int
	bytes  int // with cost
	limit  int
	of     map[*link]int // bytes of each correspondent, if they share the inbox
	err    error         // not nil once ended
	closed bool
}

func newInbox() *inbox {
	in := &inbox{limit: inboxBytes, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	in.deadline.init()
	return in
}

// newSharedInbox returns one of several correspondents, none of which may fill
// more than a quarter of it: the others' datagrams shall find room.
func newSharedInbox() *inbox {
	in := newInbox()
	in.of = make(map[*link]int)
	return in
}

// resize bounds what may wait to bytes, but not below what one datagram needs.
func (in *inbox) resize(bytes int) {
	in.mu.Lock()
	in.limit = max(bytes, 4*(64<<10+messageCost))
	in.mu.Unlock()
}

// put adds datagrams that arrived together. It reports how many found no room, or
// lack their port.
func (in *inbox) put(from *link, all [][]byte) (dropped int) {
	in.mu.Lock()
	for _, b := range all {
		rest, port, ok := from.cutPort(b)
		if ok && rest == nil && from.ports {
			continue // a piece
		}
		m := message{rest, from, port}
		if !ok || in.closed || in.bytes+m.cost() > in.limit || in.of != nil && in.of[from]+m.cost() > in.limit/4 {
			dropped++
			continue
		}
		in.queue = append(in.queue, m)
		in.bytes += m.cost()
		if in.of != nil {
			in.of[from] += m.cost()
		}
	}
	some := len(in.queue) > in.head
	in.mu.Unlock()
	if some {
		in.wake()
	}
	return dropped
}

func (in *inbox) wake() {
	select {
	case in.more <- struct{}{}:
	default:
	}
}

// take returns the next datagram, if there is one, and leaves the token to
// another reader if there are more.
func (in *inbox) take() (m message, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.head == len(in.queue) {
		return m, false
	}
	m = in.queue[in.head]
	in.queue[in.head] = message{}
	in.head++
	in.bytes -= m.cost()
	if in.of != nil {
		if in.of[m.from] -= m.cost(); in.of[m.from] == 0 {
			delete(in.of, m.from)
		}
	}
	left := len(in.queue) - in.head
	if in.head > left { // it pays to move what is left to the front
		old := in.queue
		in.queue, in.head = append(old[:0], old[in.head:]...), 0
		clear(old[left:])
	}
	if left > 0 {
		in.wake()
	} else if cap(in.queue) > 1024 { // of a burst that is over
		in.queue = nil
	}
	return m, true
}

// get waits for a datagram. What has arrived is returned even if the deadline
// has passed or the connection ended.
func (in *inbox) get() (message, error) {
	for {
		if m, ok := in.take(); ok {
			return m, nil
		}
		select {
		case <-in.more:
		case <-in.ended:
			if m, ok := in.take(); ok {
				return m, nil
			}
			in.mu.Lock()
			defer in.mu.Unlock()
			return message{}, in.err
		case <-in.deadline.wait():
			if m, ok := in.take(); ok {
				return m, nil
			}
			return message{}, os.ErrDeadlineExceeded
		}
	}
}

// close ends reading once everything that has arrived was read.
func (in *inbox) close(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.closed {
		in.closed, in.err = true, err
		close(in.ended)
	}
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
