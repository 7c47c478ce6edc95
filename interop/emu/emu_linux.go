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
// Close must be called; Stats may be called from any goroutine.
type Emulator struct {
	q       *nfqueue
	line    *line
	wake    int // eventfd, written once by Close
	done    chan struct{}
	err     error
	packets atomic.Uint64
	dropped atomic.Uint64
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
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(q.fd)
		return nil, fmt.Errorf("emu: eventfd: %w", err)
	}
	e := &Emulator{q: q, line: newLine(cfg), wake: wake, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		e.err = e.run()
	}()
	return e, nil
}

// Stats returns the counters so far.
func (e *Emulator) Stats() Stats {
	return Stats{Packets: e.packets.Load(), Dropped: e.dropped.Load()}
}

// Close stops the emulator and waits for it; the kernel drops the packets still
// held. It returns the error that ended the emulator early, if one did. It must
// be called once.
func (e *Emulator) Close() error {
	unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-e.done
	unix.Close(e.wake)
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
		if closed, err := e.wait(); closed || err != nil {
			return err
		}
		now := monotonic()
		// A bound, so that verdicts are given under a flood as well.
		for range 64 {
			err := e.q.read(func(id uint32) {
				e.packets.Add(1)
				e.line.add(now, id)
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
		switch {
		case p.drop:
			e.dropped.Add(1)
			e.q.verdict(msgVerdict, p.id, verdictDrop)
		case e.line.inOrder():
			newest, accept = p, true
		default:
			e.q.verdict(msgVerdict, p.id, verdictAccept)
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

// wait blocks until a packet arrives, one is due, or Close is called.
func (e *Emulator) wait() (closed bool, err error) {
	fds := []unix.PollFd{{Fd: int32(e.q.fd), Events: unix.POLLIN}, {Fd: int32(e.wake), Events: unix.POLLIN}}
	var timeout *unix.Timespec
	if due := e.line.next(); due != never {
		ts := unix.NsecToTimespec(int64(max(0, due-monotonic())))
		timeout = &ts
	}
	if _, err := unix.Ppoll(fds, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("emu: poll: %w", err)
	}
	return fds[1].Revents != 0, nil
}

// monotonic reads the clock that ppoll runs on.
func monotonic() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
