package underlay

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watched are the netlink groups of changes that matter to paths.
const watched = unix.RTMGRP_LINK |
	unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// restAfter is the least time from one call to the next, so that a router that
// learns a million routes does not keep a processor busy.
const restAfter = time.Millisecond

// subscribe has changed called after changes in the network namespace of this
// thread. The kernel coalesces: what happens during a call is one event after
// it, also when the socket's buffer overflows.
func subscribe(changed func()) (stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: watched}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	file := os.NewFile(uintptr(fd), "netlink")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for raw.Read(drainEvents) == nil {
			changed()
			time.Sleep(restAfter)
		}
	}()
	return func() {
		file.Close()
		<-done
	}, nil
}

// drainEvents takes all events there are, and returns whether there were any.
// What they say is of no interest: whoever is called looks for himself.
func drainEvents(fd uintptr) (any bool) {
	var buf [64]byte // the rest of a message is lost
	for {
		switch _, err := unix.Read(int(fd), buf[:]); err {
		case nil, unix.ENOBUFS:
			any = true
		case unix.EINTR:
		default:
			return any
		}
	}
}
