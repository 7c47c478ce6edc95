package expose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

const (
	// stopTimeout is how long a server may take to end after it was asked to; then it
	// is killed.
	stopTimeout = 10 * time.Second
	// retryFirst and retryMost are how often it is tried whether a server that was
	// started listens, rarer and rarer.
	retryFirst, retryMost = 5 * time.Millisecond, 100 * time.Millisecond
	// restartFirst and restartMost are how long a server that ended with an error is
	// not started again, longer and longer while it goes on so.
	restartFirst, restartMost = 250 * time.Millisecond, 30 * time.Second
)

// demand is a server that runs while somebody uses it. The zero value is one that does
// not run. All methods are safe for concurrent use.
type demand struct {
	log    *slog.Logger
	output io.Writer

	mu       sync.Mutex
	users    int
	proc     *process // nil if none runs
	timer    *time.Timer
	failures int       // in a row
	notUntil time.Time // it is started again
	why      error     // of the last failure
	closed   bool
	wg       sync.WaitGroup
}

// process is a server that was started.
type process struct {
	plan   *plan
	cmd    *exec.Cmd
	stop   context.CancelFunc
	gate   chan struct{} // held by who tries whether it listens
	ready  chan struct{} // closed when it does
	exited chan struct{} // closed when it has ended
	err    error         // why, after exited

	stopping bool // under the demand's mu: it was asked to end
	stale    bool // likewise: it is to end when nobody uses it
}

// enter counts a user, who calls leave once. The server goes on while there are any.
func (d *demand) enter() (leave func()) {
	d.mu.Lock()
	d.users++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.mu.Unlock()
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.users--
		proc := d.proc
		switch {
		case d.users > 0 || proc == nil || d.closed:
		case proc.stale:
			proc.end()
		case proc.plan.IdleStop >= 0:
			d.timer = time.AfterFunc(proc.plan.IdleStop, func() { d.idle(proc) })
		}
	}
}

// idle stops a server that nobody uses.
func (d *demand) idle(proc *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users > 0 || d.proc != proc {
		return
	}
	d.log.Info("the server is not used and is stopped", "command", proc.plan.path)
	proc.end()
}

// replace says that a server is started otherwise from now on. One that runs ends
// when its users have left.
func (d *demand) replace(p *plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.proc == nil || d.proc.plan.sameCommand(p) {
		return
	}
	d.proc.stale = true
	if d.users == 0 {
		d.proc.end()
	}
}

// end asks the server to. The caller holds the demand's mu.
func (proc *process) end() {
	proc.stopping = true
	proc.stop()
}

// reach returns when try says that the server listens, which is made to run if it does
// not. What is being stopped is not tried: it may still listen.
func (d *demand) reach(ctx context.Context, p *plan, try func(context.Context) error) error {
	d.mu.Lock()
	stopping := d.proc != nil && d.proc.stopping
	d.mu.Unlock()
	if !stopping {
		if err := try(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return d.await(ctx, p, try)
}

// await makes the server run, and returns when try says that it listens, or with why
// it does not: after the plan's StartTimeout, or because it ended.
func (d *demand) await(ctx context.Context, p *plan, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.StartTimeout,
		fmt.Errorf("%s does not listen at %v after %v", p.path, p.target, p.StartTimeout))
	defer cancel()
	for {
		proc, err := d.start(ctx, p)
		if err != nil {
			return err
		}
		again, err := d.follow(ctx, proc, try)
		if !again {
			return err
		}
	}
}

// follow tries until the server listens, or has ended; again if that had listened
// before.
func (d *demand) follow(ctx context.Context, proc *process, try func(context.Context) error) (again bool, err error) {
	select {
	case <-proc.ready:
	case proc.gate <- struct{}{}: // one at a time tries
		defer func() { <-proc.gate }()
	case <-proc.exited:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := try(ctx)
		if err == nil {
			d.listens(proc)
			return false, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			continue
		case <-proc.exited:
			err = nil
		case <-ctx.Done():
			err = errors.Join(context.Cause(ctx), err)
		}
		timer.Stop()
		if err != nil {
			return false, err
		}
		select {
		case <-proc.ready:
			return true, nil
		default:
			return false, fmt.Errorf("%s ended before it listened at %v: %w", proc.plan.path, proc.plan.target, proc.err)
		}
	}
}

// listens notes that a server does.
func (d *demand) listens(proc *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-proc.ready:
	default:
		close(proc.ready)
		d.failures = 0
		d.log.Info("the server was started", "command", proc.plan.path, "pid", proc.cmd.Process.Pid)
	}
}

// start returns the server's process, which it starts if none runs: not at once if
// the last one has failed, or has yet to end.
func (d *demand) start(ctx context.Context, p *plan) (*process, error) {
	for {
		d.mu.Lock()
		proc, why, wait := d.proc, d.why, time.Until(d.notUntil)
		switch {
		case d.closed:
			d.mu.Unlock()
			return nil, context.Canceled
		case proc == nil && wait <= 0:
			defer d.mu.Unlock()
			return d.run(p)
		}
		stopping := proc != nil && proc.stopping
		d.mu.Unlock()
		switch {
		case stopping:
			select {
			case <-proc.exited:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		case proc != nil:
			return proc, nil
		default:
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil, fmt.Errorf("%s failed and is started again in a while: %w", p.path, why)
			}
		}
	}
}

// run starts the command. The caller holds mu.
func (d *demand) run(p *plan) (*process, error) {
	ctx, stop := context.WithCancel(context.Background()) // see stop
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Args, cmd.Dir, cmd.Stdout, cmd.Stderr = p.Command, p.Dir, d.output, d.output
	cmd.Env = append(append(os.Environ(), "SERVAL_SERVICE="+p.Name, "SERVAL_TARGET="+p.target.String()), p.Env...)
	cmd.WaitDelay = stopTimeout
	asServer(cmd)
	proc := &process{plan: p, cmd: cmd, stop: stop, gate: make(chan struct{}, 1), ready: make(chan struct{}), exited: make(chan struct{})}
	started := make(chan error)
	d.wg.Go(func() {
		// The kernel ends the server when the thread that started it does: this one
		// waits for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			d.ended(proc, cmd.Wait())
		}
	})
	if err := <-started; err != nil {
		stop()
		d.failed(err)
		return nil, err
	}
	d.proc = proc
	return proc, nil
}

// ended notes the end of a server.
func (d *demand) ended(proc *process, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(proc.exited)
	proc.stop()
	if d.proc == proc {
		d.proc = nil
	}
	if proc.stopping {
		killGroup(proc.cmd)
		return
	}
	if err == nil {
		err = errors.New("it ended by itself, with status 0")
		select {
		case <-proc.ready:
			d.log.Debug("the server ended", "command", proc.plan.path)
			return
		default:
		}
	}
	proc.err = err
	d.failed(err)
	d.log.Warn("the server ended", "command", proc.plan.path, "err", err)
}

// failed puts the next start off. The caller holds mu.
func (d *demand) failed(err error) {
	d.why = err
	d.notUntil = time.Now().Add(min(restartFirst<<min(d.failures, 10), restartMost))
	d.failures++
}

// close stops the server and waits for its end.
func (d *demand) close() {
	d.mu.Lock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.proc != nil {
		d.proc.end()
	}
	d.mu.Unlock()
	d.wg.Wait()
}
