package exec

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of all of its descendants whose parent
// ends, so that it learns of the end of the last one.
func adoptOrphans() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// killDescendants kills all descendants of this process until gone is closed, by who
// waits for them.
func killDescendants(gone <-chan struct{}) {
	for {
		for _, pid := range descendants(os.Getpid(), parents()) {
			unix.Kill(pid, unix.SIGKILL)
		}
		select {
		case <-gone:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// parents returns the parent of each process.
func parents() map[int]int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	parents := make(map[int]int, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		if parent, ok := parentOf(stat); ok {
			parents[pid] = parent
		}
	}
	return parents
}

// parentOf reads /proc/PID/stat: "PID (NAME) STATE PARENT ...", where the name may
// hold anything.
func parentOf(stat []byte) (int, bool) {
	_, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	words := bytes.Fields(rest)
	if !ok || len(words) < 2 {
		return 0, false
	}
	pid, err := strconv.Atoi(string(words[1]))
	return pid, err == nil
}

// isStopped reports whether a process is stopped by a signal.
func isStopped(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return err == nil && bytes.HasPrefix(rest, []byte("T"))
}

// descendants returns all processes below root.
func descendants(root int, parents map[int]int) []int {
	var found []int
	for pid := range parents {
		at := pid
		for range len(parents) { // pids change while they are read: there may be a circle
			parent, ok := parents[at]
			if !ok {
				break
			}
			if parent == root {
				found = append(found, pid)
				break
			}
			at = parent
		}
	}
	return found
}
