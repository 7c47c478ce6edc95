package exec

import (
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// join takes the front's place in its process group. Both have to change at a time when
// neither group may be empty, which would be its end: a shell keeps the place.
func (c *carrier) join() error {
	var err error
	if c.group, err = unix.Getpgid(c.front); err != nil {
		return os.NewSyscallError("getpgid", err)
	}
	placed := exec.Command("/bin/sh", "-c", "read x")
	placed.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: c.group}
	pipe, err := placed.StdinPipe()
	if err != nil {
		return err
	}
	if err := placed.Start(); err != nil {
		c.cfg.Log.Debug("no shell can be run: signals for the process group come to the program twice", "err", err)
		return nil
	}
	defer placed.Wait()
	defer pipe.Close()
	if err := c.peer.send(message{Kind: kindLeave}); err != nil {
		return errInterrupted
	}
	select {
	case <-c.frontGone:
		return errInterrupted
	case m := <-c.moved:
		if m == kindLeft {
			return os.NewSyscallError("setpgid", unix.Setpgid(0, c.group))
		}
		return nil
	}
}

// continued passes on that the process group was continued.
func (c *carrier) continued() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.program == 0 {
		return
	}
	if group, err := unix.Getpgid(c.program); err == nil && group != c.group {
		unix.Kill(c.program, unix.SIGCONT)
	}
	if !isStopped(c.program) { // again, before we came here
		c.stopped = false
		go c.wakeFront()
	}
}

// wakeFront continues the front after the program. It looks for a while, because the
// front may be about to stop itself.
func (c *carrier) wakeFront() {
	for range 50 {
		c.mu.Lock()
		over := c.program == 0 || c.stopped || isStopped(c.program)
		if !over && isStopped(c.front) {
			c.goOn()
		}
		c.mu.Unlock()
		if over {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// wakeForEnd lets the front hear that the program has ended, if it was stopped with it or
// is about to stop.
func (c *carrier) wakeForEnd() {
	for {
		if isStopped(c.front) {
			unix.Kill(c.front, unix.SIGCONT)
		}
		select {
		case <-c.frontGone:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// goOn continues the front, and says so, that it does not take it for somebody else's
// signal.
func (c *carrier) goOn() {
	c.peer.send(message{Kind: kindGoesOn})
	unix.Kill(c.front, unix.SIGCONT)
}

// stoppedBy tells the front that the program was stopped.
func (c *carrier) stoppedBy(sig unix.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isStopped(c.front) { // in between it has gone on, for a moment
		c.goOn()
	}
	c.stopped = true
	c.peer.send(message{Kind: kindStopped, Pid: c.program, Signal: int(sig)})
}
