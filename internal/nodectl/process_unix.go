//go:build unix

package nodectl

import "syscall"

func processExists(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) != syscall.ESRCH }
