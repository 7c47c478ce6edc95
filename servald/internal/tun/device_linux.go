package tun

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// Open makes the TUN device name ("" lets the kernel choose), gives it addrs with the
// routes to their prefixes, and takes it up. An mtu of 0 is DefaultMTU. The device goes
// away when it is closed or the process ends. IPv6 addresses are left out where the
// kernel has no IPv6. It needs CAP_NET_ADMIN in the network namespace of the calling
// thread, and /dev/net/tun.
func Open(name string, addrs []netip.Prefix, mtu int) (Device, error) {
	ifce, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name},
	})
	if err != nil {
		return nil, explain(name, err)
	}
	f, ok := ifce.ReadWriteCloser.(*os.File)
	if !ok {
		ifce.Close()
		return nil, fmt.Errorf("tun: the device %s is a %T, not a file", ifce.Name(), ifce.ReadWriteCloser)
	}
	if mtu == 0 {
		mtu = DefaultMTU
	}
	if err := configure(ifce.Name(), addrs, mtu); err != nil {
		f.Close()
		return nil, err
	}
	return fromFile(f, ifce.Name(), mtu), nil
}

// explain says what to do about a device that cannot be made.
func explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("tun: this system has no /dev/net/tun (%w): load the tun module, or use `servald socks5` or `servald forward`", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("tun: making a TUN device needs root or CAP_NET_ADMIN (%w): use `servald exec`, `servald socks5` or `servald forward` without", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tun: the device %s is in use (%w): is another servald running? choose another name", name, err)
	}
	return fmt.Errorf("tun: making the device %s: %w", name, err)
}

// FromFile makes a Device of f, a TUN of mtu bytes that was opened without packet
// information (IFF_NO_PI) and in non-blocking mode, possibly in another network
// namespace. The Device owns f.
func FromFile(f *os.File, mtu int) Device { return fromFile(f, f.Name(), mtu) }

func fromFile(f *os.File, name string, mtu int) *device {
	d := &device{File: f, name: name, mtu: mtu}
	d.read.call = d.read.now
	raw, err := f.SyscallConn()
	if err == nil {
		d.raw = raw
		raw.Control(func(fd uintptr) {
			unix.SetNonblock(int(fd), true) // raw system calls must not wait
			// Packets of this host's programs then come with half a checksum, which
			// is as good, and cost the kernel none. A refusal is no harm.
			unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, unix.TUN_F_CSUM)
		})
	}
	return d
}

// device is a TUN of Linux.
type device struct {
	*os.File
	raw  syscall.RawConn
	name string
	mtu  int
	read reader

	closed atomic.Bool
}

// Close implements Device.
func (d *device) Close() error {
	d.closed.Store(true)
	return d.File.Close()
}

// Name returns the interface's name.
func (d *device) Name() string { return d.name }

// MTU implements Device.
func (d *device) MTU() int { return d.mtu }

// Read implements Device. One goroutine at a time may call it.
func (d *device) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	r := &d.read
	r.b = b
	err := d.raw.Read(r.call)
	r.b = nil
	switch {
	case d.closed.Load():
		return 0, os.ErrClosed
	case err != nil:
		return 0, err
	case r.err != 0:
		return 0, r.err
	}
	return r.n, nil
}

// reader is one read. call is its method, made once.
type reader struct {
	b    []byte
	n    int
	err  syscall.Errno
	call func(fd uintptr) bool
}

// now returns false if there is no packet.
func (r *reader) now(fd uintptr) bool {
	for {
		var n uintptr
		n, _, r.err = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.b))), uintptr(len(r.b)))
		switch r.err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			r.n = int(n)
		}
		return true
	}
}

// writev implements vectored.
func (d *device) writev(head, tail []byte) error {
	w := writers.Get().(*writer)
	defer writers.Put(w)
	w.iov[0].Base, w.n = unsafe.SliceData(head), 1
	w.iov[0].SetLen(len(head))
	if len(tail) > 0 {
		w.iov[1].Base, w.n = unsafe.SliceData(tail), 2
		w.iov[1].SetLen(len(tail))
	}
	err := d.raw.Write(w.call)
	w.iov = [2]unix.Iovec{}
	if err == nil && w.err != 0 {
		err = w.err
	}
	return err
}

// writer is one writev. call is its method, made once: it would be allocated for each
// packet.
type writer struct {
	iov  [2]unix.Iovec
	n    int
	err  syscall.Errno
	call func(fd uintptr) bool
}

var writers = sync.Pool{New: func() any {
	w := new(writer)
	w.call = w.write
	return w
}}

// write never waits: what the device does not take is lost. A raw system call does not
// let the scheduler think that it might: for one of 64 KiB that would start a thread.
func (w *writer) write(fd uintptr) bool {
	for {
		_, _, w.err = unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.iov)), uintptr(w.n))
		if w.err != unix.EINTR {
			return true
		}
	}
}
