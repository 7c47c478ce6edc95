//go:build unix

package hook

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the command the leader of a process group, all of which is
// killed when its time is over.
func ownGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
