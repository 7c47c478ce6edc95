package perf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Test says what to measure. Its zero value is a test of ten seconds over one
// stream, towards the server, with a row each second.
type Test struct {
	Duration time.Duration // 0 is 10 s; at most an hour
	Streams  int           // connections used at once; 0 is 1
	Reverse  bool          // the server sends
	Interval time.Duration // between rows; 0 is 1 s
}

func (t Test) withDefaults() Test {
	if t.Duration == 0 {
		t.Duration = 10 * time.Second
	}
	if t.Streams == 0 {
		t.Streams = 1
	}
	if t.Interval == 0 {
		t.Interval = time.Second
	}
	return t
}

// Run dials the streams of a test, runs it and returns its result. row, if not nil,
// is called with each interval's counts while the test goes on, never at once.
// Intervals count what the local side wrote or read; the result is what the receiver
// got. When a stream fails the test ends with its error.
func Run(ctx context.Context, dial func(context.Context) (net.Conn, error), t Test, row func(Row)) (Result, error) {
	t = t.withDefaults()
	if t.Streams < 0 || t.Interval < 0 {
		return Result{}, errors.New("the number of streams and the interval of a test must be positive")
	}
	req := request{Version: version, Reverse: t.Reverse, Duration: t.Duration}
	if err := req.check(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	streams := make([]*stream, t.Streams)
	defer func() {
		for _, s := range streams {
			if s != nil {
				s.conn.Close()
			}
		}
	}()
	for i := range streams {
		conn, err := dial(ctx)
		if err != nil {
			return Result{}, err
		}
		streams[i] = &stream{conn: conn}
		if err := streams[i].open(req); err != nil {
			return Result{}, fmt.Errorf("opening stream %d of the test: %w", i+1, err)
		}
	}
	stop := context.AfterFunc(ctx, func() {
		for _, s := range streams {
			s.conn.Close()
		}
	})
	defer stop()

	start := time.Now()
	var running sync.WaitGroup
	for i, s := range streams {
		running.Go(func() {
			if err := s.run(t); err != nil {
				cancel(fmt.Errorf("stream %d: %w", i+1, err))
			}
		})
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	watch(streams, start, t.Interval, done, row)
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return result(t, streams), nil
}

// stream is the client's side of one connection of a test.
type stream struct {
	conn    net.Conn
	counted atomic.Int64 // by the local side
	bytes   int64        // by the receiver
	elapsed time.Duration
}

// open asks for the test and waits for the answer.
func (s *stream) open(req request) error {
	if _, ok := s.conn.(interface{ CloseWrite() error }); !ok {
		return errors.New("the connection has no half-close")
	}
	s.conn.SetDeadline(time.Now().Add(req.Duration + 2*grace))
	if err := writeMessage(s.conn, req); err != nil {
		return err
	}
	_, err := readReply(s.conn)
	return err
}

func (s *stream) run(t Test) (err error) {
	count := func(n int) { s.counted.Add(int64(n)) }
	if t.Reverse {
		s.elapsed, err = receive(s.conn, count)
		s.bytes = s.counted.Load()
		return err
	}
	if err := send(s.conn, t.Duration, count); err != nil {
		return err
	}
	rep, err := readReply(s.conn)
	s.bytes, s.elapsed = rep.Bytes, rep.Elapsed
	return err
}

// watch calls row once for each interval until done.
func watch(streams []*stream, start time.Time, interval time.Duration, done <-chan struct{}, row func(Row)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := make([]int64, len(streams))
	from := time.Duration(0)
	for {
		select {
		case <-done:
			return
		case now := <-ticker.C:
			r := Row{From: from, To: now.Sub(start), Streams: make([]int64, len(streams))}
			for i, s := range streams {
				n := s.counted.Load()
				r.Streams[i], last[i] = n-last[i], n
				r.Bytes += r.Streams[i]
			}
			from = r.To
			if row != nil {
				row(r)
			}
		}
	}
}
