package exec

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// capabilities is a set of them, a bit for each.
type capabilities uint64

func (c capabilities) has(n int) bool { return c&(1<<n) != 0 }

// lastCapability is the highest that this kernel knows.
func lastCapability() int {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return unix.CAP_LAST_CAP
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 || n > 63 {
		return unix.CAP_LAST_CAP
	}
	return n
}

// statusMask reads one line of /proc/self/status, a mask in hexadecimal.
func statusMask(status, key string) uint64 {
	for line := range lines([]byte(status)) {
		if text, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return n
		}
	}
	return 0
}

// readPrivileges looks at a process.
func readPrivileges(pid int) (effective, ambient capabilities, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("servald exec needs /proc: %w", err)
	}
	return capabilities(statusMask(string(b), "CapEff")), capabilities(statusMask(string(b), "CapAmb")), nil
}

// needsUsers reports whether one that has these capabilities can make network and
// mount namespaces in a user namespace only.
func needsUsers(effective capabilities) bool {
	return !effective.has(unix.CAP_SYS_ADMIN) || !effective.has(unix.CAP_NET_ADMIN)
}

// restrict leaves the programs that the calling thread starts from now on with no more
// capabilities than effective and ambient, which they would have without us. The
// thread itself keeps its own.
func restrict(effective, ambient capabilities) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	for n := range lastCapability() + 1 {
		if !effective.has(n) && os.Geteuid() == 0 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
				return os.NewSyscallError("prctl", err)
			}
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	data[0].Inheritable, data[1].Inheritable = uint32(ambient), uint32(ambient>>32)
	if err := unix.Capset(&header, &data[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	for n := range lastCapability() + 1 {
		if ambient.has(n) {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(n), 0, 0); err != nil {
				return os.NewSyscallError("prctl", err)
			}
		}
	}
	return nil
}
