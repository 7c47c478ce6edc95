//go:build unix

package check

import (
	"os/exec"
	"syscall"
)

// asGroup makes a command that is stopped take its children with it.
func asGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
