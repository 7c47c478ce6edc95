package netstack

import (
	"syscall"
	"unsafe"
)

// writeNow writes to a descriptor that never waits. Being a raw system call, it does not
// let the scheduler think that it might: for 64 KiB that would start a thread.
func writeNow(fd int, b []byte) (int, error) {
	n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if err != 0 {
		return 0, err
	}
	return int(n), nil
}
