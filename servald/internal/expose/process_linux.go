package expose

import "syscall"

// endWithParent has the kernel end a command when this process is killed.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGTERM }
