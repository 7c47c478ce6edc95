package exec

import (
	"os"
	"os/signal"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signalSet is a set of signals, bit 0 for signal 1.
type signalSet uint64

func (s signalSet) has(sig unix.Signal) bool { return s&(1<<(sig-1)) != 0 }

// readIgnored returns the signals that this process was started to ignore. It must come
// before any are caught. The Go runtime keeps only some of them ignored: SIGHUP,
// SIGINT, and those of job control.
func readIgnored() signalSet {
	b, _ := os.ReadFile("/proc/self/status")
	return signalSet(statusMask(string(b), "SigIgn"))
}

// notPassedOn are signals that say nothing to the program: of our own children, of the
// Go runtime, and faults.
func notPassedOn(sig unix.Signal) bool {
	switch sig {
	case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGPROF,
		unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS:
		return true
	}
	return sig == 32 || sig == 33 // the C library's
}

// lastSignal is the highest.
const lastSignal = 64

// catchSignals catches all signals that could be meant for the program. Those that were
// ignored stay so, that the program inherits it.
func catchSignals(ignored signalSet) chan os.Signal {
	caught := make(chan os.Signal, 256)
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		if !notPassedOn(sig) && !ignored.has(sig) {
			signal.Notify(caught, sig)
		}
	}
	return caught
}

// fromTerminal reports whether a terminal sends the signal to all of its foreground
// process group.
func fromTerminal(sig unix.Signal) bool {
	switch sig {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH:
		return true
	}
	return false
}

// inForeground reports whether this process's group is the one that its terminal sends
// signals to.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// writeFromBackground lets this process write errors to a terminal that has others stop
// for it (stty tostop). Programs that are started later would inherit that.
func writeFromBackground() { signal.Ignore(unix.SIGTTOU) }

// sigaction is the kernel's struct of that name, or longer. All zero is the default
// action on every architecture.
type sigaction [16]uint64

// takeDefault lets a signal do what it does by default, behind the Go runtime's back,
// which catches it still. The result is for restore.
func takeDefault(sig unix.Signal) *sigaction {
	var none, old sigaction
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&none)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	return &old
}

func (old *sigaction) restore(sig unix.Signal) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(old)), 0, 8, 0, 0)
}

// raise sends a signal to this very thread, so that it does not go on before.
func raise(sig unix.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.Sigset_t
	unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, &all) // it may be blocked
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
}

// stopSelf stops this process by a signal, as the program was, so that the shell sees
// the same, and returns when it goes on.
func stopSelf(sig unix.Signal) {
	if sig != unix.SIGSTOP {
		defer takeDefault(sig).restore(sig)
	}
	raise(sig)
}

// dieOf ends this process by a signal, as the program was, or with the exit code that
// shells make of it if that is not possible. It leaves no core: the program has.
func dieOf(sig unix.Signal) int {
	var none unix.Rlimit
	unix.Setrlimit(unix.RLIMIT_CORE, &none)
	takeDefault(sig)
	raise(sig)
	time.Sleep(100 * time.Millisecond)
	return 128 + int(sig)
}
