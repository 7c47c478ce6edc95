package nodetest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// insideVariable is set in a process that Inside has started, and in its children.
const insideVariable = "NODETEST_INSIDE"

// Inside runs the test again in a process with namespaces of its own, which the flags of
// clone(2) name, where it may do as it likes; in there it returns true. More is further
// arguments, which count more than those that it has anyway.
func Inside(t testing.TB, flags uintptr, more ...string) bool {
	t.Helper()
	if IsInside() {
		return true
	}
	out, err := RunInside(t, flags, append([]string{"-test.run=^" + t.Name() + "$", "-test.v"}, more...)...)
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if err != nil {
		t.Error(err)
	}
	return false
}

// IsInside reports whether this is a process that Inside has started, or a child of one.
func IsInside() bool { return os.Getenv(insideVariable) != "" }

// RunInside runs this program in namespaces of its own, and returns its output. Without
// the right to that it skips the test.
func RunInside(t testing.TB, flags uintptr, args ...string) ([]byte, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for namespaces of its own")
	}
	cmd := exec.Command(os.Args[0], append([]string{"-test.timeout=2m"}, args...)...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	return cmd.CombinedOutput()
}
