// Package relay carries datagrams of many clients to services and back: a table of
// flows that open when a client writes and end when neither side does.
package relay

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/serval-net/serval/servald/internal/fair"
	"github.com/serval-net/serval/servald/internal/outbound"
)

// Defaults of Table.
const (
	DefaultMax  = 4096
	DefaultIdle = 2 * time.Minute // RFC 4787, REQ-5
)

// maxQueued and maxQueuedBytes are how many datagrams wait while a flow opens; later ones
// are lost.
const (
	maxQueued      = 16
	maxQueuedBytes = maxDatagram
)

// maxDatagram is more than UDP carries.
const maxDatagram = 64 << 10

// Table relays datagrams. Open and Deliver are required; set the fields before the
// first Send. Its methods are safe for concurrent use. K tells flows apart, C clients.
type Table[K, C comparable] struct {
	// Open opens the way to what a key stands for. The port is the first one.
	Open func(ctx context.Context, key K, client C, port uint16) (outbound.Datagrams, error)

	// Deliver takes an answer from a port of the service; b is its own during the call.
	Deliver func(key K, b []byte, port uint16)

	// Ended, if not nil, is told once for each flow when it is over. There may be
	// another with the same key already.
	Ended func(key K)

	// Max is how many flows there are at once; 0 is 4096. A client that has its share
	// loses the flow that it has not used for longest for each new one.
	Max int

	// Idle is how long a flow is kept that nobody uses; 0 is 2 minutes.
	Idle time.Duration

	Log *slog.Logger // nil discards

	once sync.Once
	ctx  context.Context
	end  context.CancelFunc
	gate *fair.Gate[C]
	wg   sync.WaitGroup

	mu     sync.Mutex
	flows  map[K]*flow[K, C]
	used   map[C]*list.List // each client's flows, the longest unused first
	closed bool
}

// flow is one client's datagrams to one service.
type flow[K, C comparable] struct {
	t      *Table[K, C]
	key    K
	client C
	at     *list.Element // in t.used, under t.mu
	cancel context.CancelFunc

	mu     sync.Mutex
	way    outbound.Datagrams // nil while it opens
	queued []datagram
	bytes  int       // of queued
	last   time.Time // of Send
}

type datagram struct {
	b    []byte
	port uint16
}

func (t *Table[K, C]) init() {
	t.once.Do(func() {
		if t.Max <= 0 {
			t.Max = DefaultMax
		}
		if t.Idle <= 0 {
			t.Idle = DefaultIdle
		}
		if t.Log == nil {
			t.Log = slog.New(slog.DiscardHandler)
		}
		t.ctx, t.end = context.WithCancel(context.Background())
		t.gate = fair.New[C](t.Max)
		t.flows, t.used = make(map[K]*flow[K, C]), make(map[C]*list.List)
	})
}

// Len returns how many flows there are.
func (t *Table[K, C]) Len() int {
	t.init()
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flows)
}

// Send sends b, which it does not keep, to a port of what the key stands for. It does
// not wait; what cannot be sent is lost.
func (t *Table[K, C]) Send(key K, client C, b []byte, port uint16) {
	t.init()
	if f := t.get(key, client, port); f != nil {
		f.send(b, port)
	}
}

// get returns the flow of a key, a new one if there is none; nil if there is no room.
func (t *Table[K, C]) get(key K, client C, port uint16) *flow[K, C] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.flows[key]; f != nil {
		t.used[f.client].MoveToBack(f.at)
		return f
	}
	if t.closed {
		return nil
	}
	if !t.gate.Try(client) {
		mine := t.used[client]
		if mine == nil {
			return nil
		}
		t.forget(mine.Front().Value.(*flow[K, C]))
		if !t.gate.Try(client) {
			return nil
		}
	}
	ctx, cancel := context.WithCancel(t.ctx)
	f := &flow[K, C]{t: t, key: key, client: client, cancel: cancel, last: time.Now()}
	if t.used[client] == nil {
		t.used[client] = list.New()
	}
	f.at = t.used[client].PushBack(f)
	t.flows[key] = f
	t.wg.Go(func() { f.run(ctx, port) })
	return f
}

// forget takes a flow out of the table, so that its key can have another, and lets it
// end.
func (t *Table[K, C]) forget(f *flow[K, C]) {
	f.cancel()
	if t.flows[f.key] != f {
		return
	}
	delete(t.flows, f.key)
	t.used[f.client].Remove(f.at)
	if t.used[f.client].Len() == 0 {
		delete(t.used, f.client)
	}
	t.gate.Leave(f.client)
}

// Close ends all flows and waits for them.
func (t *Table[K, C]) Close() {
	t.init()
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.end()
	t.wg.Wait()
}

func (f *flow[K, C]) send(b []byte, port uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = time.Now()
	switch {
	case f.way != nil:
		// An error is a datagram too long, or the end of the flow, which run sees.
		f.way.WriteTo(b, port)
	case len(f.queued) < maxQueued && f.bytes+len(b) <= maxQueuedBytes:
		f.bytes += len(b)
		f.queued = append(f.queued, datagram{append([]byte(nil), b...), port})
	}
}

// run opens the flow, and reads what comes back until it is over.
func (f *flow[K, C]) run(ctx context.Context, port uint16) {
	t := f.t
	defer func() {
		t.mu.Lock()
		t.forget(f)
		t.mu.Unlock()
		if t.Ended != nil {
			t.Ended(f.key)
		}
	}()
	way, err := t.Open(ctx, f.key, f.client, port)
	if err != nil {
		return // told by whoever opens
	}
	defer way.Close()
	stop := context.AfterFunc(ctx, func() { way.Close() })
	defer stop()
	f.mu.Lock()
	for _, d := range f.queued {
		way.WriteTo(d.b, d.port)
	}
	f.queued, f.way = nil, way
	f.mu.Unlock()

	read := reader(way)
	last := time.Now()
	for {
		way.SetReadDeadline(last.Add(t.Idle))
		b, from, err := read()
		switch {
		case err == nil:
			last = time.Now()
			t.Deliver(f.key, b, from)
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			f.mu.Lock()
			last = f.last
			f.mu.Unlock()
			if time.Since(last) >= t.Idle {
				return
			}
		case errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil:
			// A port that nobody serves; others may be served.
		default:
			if ctx.Err() == nil {
				t.Log.Info("datagrams ended", "key", f.key, "err", err)
			}
			return
		}
	}
}

// reader returns a way to read that needs no buffer where there is one: flows are mostly
// idle.
func reader(way outbound.Datagrams) func() (b []byte, port uint16, err error) {
	if m, ok := way.(interface {
		ReadMessage() (b []byte, port uint16, err error)
	}); ok {
		return m.ReadMessage
	}
	buf := make([]byte, maxDatagram)
	return func() ([]byte, uint16, error) {
		n, port, err := way.ReadFrom(buf)
		return buf[:n], port, err
	}
}
