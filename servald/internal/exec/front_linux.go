package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Front starts the program given by command, whose first word is looked up in $PATH,
// and stays until it ends; carrier makes the arguments, without the name, with which
// this executable is to be started as the carrier on a descriptor, for Carry.
//
// It returns the exit code of the program. If a signal has ended the program, the same
// ends this process. An [Error] says what kept the program from starting.
//
// The calling process is used up: its signals and standard files are no longer its own.
func Front(command []string, carrier func(fd int) []string) (int, error) {
	if _, err := lookUp(command[0]); err != nil {
		return 0, err
	}
	ignored := readIgnored()
	inherited := inheritedFiles()
	if err := adoptOrphans(); err != nil {
		return 0, &Error{CodeFailed, err}
	}
	peer, fd, err := newPeers()
	if err != nil {
		return 0, &Error{CodeFailed, err}
	}
	f := &front{peer: peer, inherited: inherited, signals: catchSignals(ignored), messages: make(chan message), stays: true}
	f.carrier, err = startCarrier(carrier(fd))
	unix.Close(fd)
	if err != nil {
		return 0, &Error{CodeFailed, err}
	}
	go f.listen()
	go f.watch()
	return f.run()
}

// lookUp finds a program's file as shells do.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		err = nil // as execvp does
	}
	if err == nil {
		return path, nil
	}
	code := CodeNotFound
	if errors.Is(err, fs.ErrPermission) {
		code = CodeNotExecutable
	}
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return "", &Error{code, fmt.Errorf("%s cannot be run: %w", name, err)}
}

// inheritedFiles returns the descriptors, but for the standard ones, that this process
// was started with and the program is to have. It must come before any is made.
func inheritedFiles() []int {
	var fds []int
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// leaveFiles closes what was inherited for the program, so that others see it end when
// the program closes it. Standard error stays, for our own errors.
func leaveFiles(inherited []int, errors bool) {
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		defer null.Close()
		unix.Dup3(int(null.Fd()), 0, 0)
		unix.Dup3(int(null.Fd()), 1, 0)
		if errors {
			unix.Dup3(int(null.Fd()), 2, 0)
		}
	}
	for _, fd := range inherited {
		unix.Close(fd)
	}
}

// startCarrier starts this executable anew, in a process group of its own, and in a
// user namespace where this user is the same unless this process can make the other
// namespaces without.
func startCarrier(args []string) (pid int, err error) {
	effective, _, err := readPrivileges(os.Getpid())
	if err != nil {
		return 0, err
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	users := needsUsers(effective)
	if users {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		for n := range lastCapability() + 1 {
			attr.AmbientCaps = append(attr.AmbientCaps, uintptr(n))
		}
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if strings.HasSuffix(self, " (deleted)") {
		self = "/proc/self/exe"
	}
	pid, err = syscall.ForkExec(self, append([]string{os.Args[0]}, args...), &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: attr})
	if err != nil && users {
		err = explainUsers(err)
	}
	return pid, err
}

// front is the process that the user has started.
type front struct {
	peer      peer
	carrier   int // its pid
	inherited []int
	signals   chan os.Signal
	messages  chan message // closed when the carrier is gone

	watching atomic.Bool   // started
	leaving  bool          // the program is about to start
	early    []unix.Signal // that came meanwhile
	started  bool
	stays    bool // in the program's process group

	continued <-chan time.Time // when to see whose SIGCONT came
	goesOn    int              // how often the carrier has said that it was its
}

// listen hands on the carrier's messages.
func (f *front) listen() {
	defer close(f.messages)
	for {
		m, err := f.peer.receive()
		if err != nil {
			return
		}
		f.messages <- m
	}
}

// watch stops this process when the carrier was stopped with its process group. The
// carrier continues it.
func (f *front) watch() {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(f.carrier, &status, unix.WUNTRACED, nil)
		switch {
		case err == unix.EINTR:
		case err != nil || !status.Stopped():
			return
		case f.watching.Load():
			stopSelf(unix.SIGSTOP)
		}
	}
}

// run serves the program until its end.
func (f *front) run() (int, error) {
	for {
		select {
		case s := <-f.signals:
			if sig, ok := s.(unix.Signal); ok {
				f.signal(sig)
			}
		case <-f.continued:
			f.continued = nil
			if f.goesOn == 0 {
				f.peer.send(message{Kind: kindSignal, Signal: int(unix.SIGCONT)})
			}
			f.goesOn = 0
		case m, ok := <-f.messages:
			if !ok {
				return f.lost()
			}
			switch m.Kind {
			case kindLeave:
				f.leaving = true
				f.leave()
			case kindStarted:
				f.started = true
				f.watching.Store(true)
				leaveFiles(f.inherited, false)
				writeFromBackground()
				for _, sig := range f.early {
					f.signal(sig)
				}
			case kindStopped:
				f.goesOn = 0
				if isStopped(m.Pid) { // still
					stopSelf(unix.Signal(m.Signal))
				}
			case kindGoesOn:
				f.goesOn++
			case kindFailed:
				return 0, &Error{m.Code, errors.New(m.Error)}
			case kindEnded:
				if status := unix.WaitStatus(m.Status); status.Signaled() {
					return dieOf(status.Signal()), nil
				} else {
					return status.ExitStatus(), nil
				}
			}
		}
	}
}

// leave leaves the process group to the carrier, for that which the carrier has been in
// alone.
func (f *front) leave() {
	if unix.Setpgid(0, f.carrier) == nil {
		f.stays = false
		f.peer.send(message{Kind: kindLeft})
		return
	}
	f.peer.send(message{Kind: kindStays})
}

// signal passes a signal on. Before the program runs it does to us what it does by
// default.
func (f *front) signal(sig unix.Signal) {
	switch {
	case !f.started && f.leaving: // it may run, and we have not heard of it
		if len(f.early) < lastSignal {
			f.early = append(f.early, sig)
		}
	case !f.started && (sig == unix.SIGINT || sig == unix.SIGTERM || sig == unix.SIGHUP || sig == unix.SIGQUIT):
		f.peer.Close() // the carrier ends
		os.Exit(dieOf(sig))
	case !f.started && sig == unix.SIGTSTP:
		stopSelf(sig)
	case !f.started:
	case sig == unix.SIGCONT:
		// It may be the carrier's, which says so: wait for that.
		if f.continued == nil {
			f.continued = time.After(100 * time.Millisecond)
		}
	case f.stays && fromTerminal(sig) && inForeground():
		// The program got it as well.
	default:
		f.peer.send(message{Kind: kindSignal, Signal: int(sig)}) // an error: lost will be next
	}
}

// lost ends what the carrier has left behind when it was killed.
func (f *front) lost() (int, error) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, err := unix.Wait4(-1, nil, unix.WALL, nil); err != nil && err != unix.EINTR {
				return
			}
		}
	}()
	killDescendants(gone)
	return 0, &Error{128 + int(unix.SIGKILL), errors.New("the servald process that carried the program's traffic was killed, and so was the program")}
}
