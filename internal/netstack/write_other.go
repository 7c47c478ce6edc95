//go:build unix && !linux

package netstack

import "syscall"

// writeNow writes to a descriptor that never waits.
func writeNow(fd int, b []byte) (int, error) { return syscall.Write(fd, b) }
