package exec

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network and a mount namespace, and the thread that lives in them.
type namespace struct {
	calls chan func()
	done  chan struct{}
}

// newNamespace makes the namespaces. The mounts are those of the host: later ones there
// are seen inside, but not the other way.
func newNamespace() (*namespace, error) {
	ns := &namespace{calls: make(chan func()), done: make(chan struct{})}
	made := make(chan error)
	onThread(func() {
		defer close(ns.done)
		err := os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET|unix.CLONE_NEWNS))
		if err == nil {
			err = os.NewSyscallError("mount", unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""))
		}
		made <- err
		if err != nil {
			return
		}
		for f := range ns.calls {
			f()
		}
	})
	if err := <-made; err != nil {
		return nil, fmt.Errorf("no network namespace can be made: %w", err)
	}
	return ns, nil
}

// do runs f on the thread in the namespaces.
func (ns *namespace) do(f func() error) error {
	result := make(chan error, 1)
	ns.calls <- func() { result <- f() }
	return <-result
}

// close ends the thread. What it has started and has to be killed with it is killed.
func (ns *namespace) close() {
	close(ns.calls)
	<-ns.done
}

// onThread runs f on a thread of its own, which ends with it. It is not the first thread
// of the process: what /proc says of the process is that one's.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		other := make(chan struct{})
		go func() { // on another thread, as this one is taken
			runtime.LockOSThread()
			close(other)
			f()
		}()
		<-other
		runtime.UnlockOSThread()
	}()
}
