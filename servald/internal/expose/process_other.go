//go:build unix && !linux

package expose

import "syscall"

// endWithParent is not to be had.
func endWithParent(*syscall.SysProcAttr) {}
