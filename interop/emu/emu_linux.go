package emu

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Emulator holds the packets of one netfilter queue and gives their verdicts.
// Close must be called; Set and Stats may be called from any goroutine before.
type Emulator struct {
	q      *nfqueue
	line   *line
	copier *copier
	wake   int         // eventfd, written by Set and Close
	closed atomic.Bool // by Close
	next   atomic.Pointer[Config]
	done   chan struct{}
	err    error

	packets, dropped, duplicated atomic.Uint64
}

// Start takes over the netfilter queue of the given number in the calling
// thread's network namespace, and serves it on a thread of its own until Close.
// It needs root. Rules such as
//
//	iptables -A FORWARD -i eth0 -j NFQUEUE --queue-num 0
//
// send packets there; without an emulator such a queue drops everything.
func Start(queue uint16, cfg Config) (*Emulator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Limit == 0 {
		cfg.Limit = DefaultLimit
	}
	q, err := openQueue(queue, cfg.Limit)
	if err != nil {
		return nil, err
	}
	c, err := newCopier()
	if err != nil {
		unix.Close(q.fd)
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(q.fd)
		c.close()
		return nil, fmt.Errorf("emu: eventfd: %w", err)
	}
	e := &Emulator{q: q, line: newLine(cfg), copier: c, wake: wake, done: make(chan struct{})}
	e.next.Store(&cfg)
	go func() {
		defer close(e.done)
		e.err = e.run()
	}()
	return e, nil
}

// Set changes what happens to packets from now on; those held keep their times.
func (e *Emulator) Set(cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	e.next.Store(&cfg)
	e.rouse()
	return nil
}

// Stats returns the counters so far.
func (e *Emulator) Stats() Stats {
	return Stats{Packets: e.packets.Load(), Dropped: e.dropped.Load(), Duplicated: e.duplicated.Load()}
}

// rouse ends a wait.
func (e *Emulator) rouse() { unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// Close stops the emulator and waits for it; the kernel drops the packets still
// held. It returns the error that ended the emulator early, if one did. It must
// be called once.
func (e *Emulator) Close() error {
	e.closed.Store(true)
	e.rouse()
	<-e.done
	unix.Close(e.wake)
	e.copier.close()
	unix.Close(e.q.fd)
	return e.err
}

// run serves the queue. Its thread is never unlocked, so that it ends with the
// goroutine and its priority is not inherited by other goroutines.
func (e *Emulator) run() error {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	// Both are for accuracy only, and may be refused.
	unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)

	for {
		if err := e.wait(); err != nil || e.closed.Load() {
			return err
		}
		if cfg := e.next.Swap(nil); cfg != nil {
			e.line.set(*cfg)
			if err := e.q.copyPayload(cfg.Duplicate > 0); err != nil {
				return fmt.Errorf("emu: ask for payloads: %w", err)
			}
		}
		// A bound, so that verdicts are given under a flood as well.
		for range 64 {
			err := e.q.read(func(id uint32, payload []byte) {
				e.packets.Add(1)
				// The time after it was read: a packet may be held a little longer
				// when the machine is busy, but never less.
				e.line.add(monotonic(), id, payload)
			})
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				break
			}
			if err != nil {
				return err
			}
		}
		if err := e.decide(monotonic()); err != nil {
			return fmt.Errorf("emu: send verdicts: %w", err)
		}
	}
}

// decide gives the verdicts on all packets that are due. Packets that leave in
// order share one verdict: everything up to the newest, less the dropped ones,
// whose own verdicts go first.
func (e *Emulator) decide(now time.Duration) error {
	var newest packet
	accept := false
	for p, ok := e.line.pop(now); ok; p, ok = e.line.pop(now) {
		if p.copy != nil && !p.drop && e.copier.send(p.copy) == nil {
			e.duplicated.Add(1)
		}
		switch {
		case p.drop:
			e.dropped.Add(1)
			e.q.verdict(msgVerdict, p.id, verdictDrop)
		case p.over:
			e.q.verdict(msgVerdict, p.id, verdictAccept)
		default:
			newest, accept = p, true
		}
		if len(e.q.out) > 32<<10 { // stay well below a netlink socket's buffer
			if err := e.q.flush(); err != nil {
				return err
			}
		}
	}
	if accept {
		e.q.verdict(msgVerdictBatch, newest.id, verdictAccept)
	}
	return e.q.flush()
}

// wait blocks until a packet arrives, one is due, or rouse is called.
func (e *Emulator) wait() error {
	fds := []unix.PollFd{{Fd: int32(e.q.fd), Events: unix.POLLIN}, {Fd: int32(e.wake), Events: unix.POLLIN}}
	var timeout *unix.Timespec
	if due := e.line.next(); due != never {
		ts := unix.NsecToTimespec(int64(max(0, due-monotonic())))
		timeout = &ts
	}
	if _, err := unix.Ppoll(fds, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("emu: poll: %w", err)
	}
	if fds[1].Revents != 0 {
		var count [8]byte
		unix.Read(e.wake, count[:])
	}
	return nil
}

// monotonic reads the clock that ppoll runs on.
func monotonic() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
