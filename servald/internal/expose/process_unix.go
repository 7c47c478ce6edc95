//go:build unix

package expose

import (
	"os/exec"
	"syscall"
)

// asServer makes a command a process group of its own, which is asked to end with
// SIGTERM: a signal for us is not one for it, before its connections have ended.
func asServer(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// killGroup ends what a server that was stopped has left behind.
func killGroup(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
