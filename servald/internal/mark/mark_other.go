//go:build !linux

package mark

import "syscall"

// Control does nothing: only Linux has marks.
func Control(_, _ string, _ syscall.RawConn) error { return nil }
