package exec

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// busy is a program with a child, a grandchild that left its process group and session,
// and an orphan.
const busy = `
sleep 1001 &
setsid sh -c 'sleep 1002; true' &
(setsid sleep 1003 &)
readlink /proc/self/ns/net
readlink /proc/self/ns/mnt
echo pid $$ parent $PPID
wait`

// startBusy starts busy and returns its carrier, and its namespaces.
func startBusy(t *testing.T, r runner) (p *running, carrier int, namespaces []string) {
	t.Helper()
	p = r.start(t, "sh", "-c", busy)
	namespaces = []string{p.expect("net:"), p.expect("mnt:")}
	words := strings.Fields(p.expect("parent"))
	carrier, err := strconv.Atoi(words[3])
	must(t, err)
	waitFor(t, "the sleepers", func() bool { return sleepers(namespaces[0]) == 4 })
	return p, carrier, namespaces
}

// inNamespaces returns the processes, and their threads, that are in a namespace.
func inNamespaces(names []string) (found []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/*")
	for _, link := range links {
		target, _ := os.Readlink(link)
		for _, name := range names {
			if target == name {
				found = append(found, link)
			}
		}
	}
	return found
}

// sleepers counts the processes in a network namespace.
func sleepers(name string) int {
	n := 0
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		target, _ := os.Readlink(link)
		comm, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "comm"))
		if target == name && (string(comm) == "sleep\n" || string(comm) == "sh\n") {
			n++
		}
	}
	return n - 1 // but for the program itself
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 seconds", what)
		}
	}
}

// TestKilled kills each process at a time, and sees that nothing is left.
func TestKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to see all processes' namespaces")
	}
	eachUser(t, func(t *testing.T, r runner) {
		for _, which := range []string{"front", "carrier", "both"} {
			t.Run(which, func(t *testing.T) {
				p, carrier, namespaces := startBusy(t, r)
				group, err := syscall.Getpgid(carrier)
				must(t, err)
				switch which {
				case "front":
					must(t, p.cmd.Process.Kill())
				case "carrier":
					must(t, syscall.Kill(carrier, syscall.SIGKILL))
				case "both":
					must(t, syscall.Kill(-group, syscall.SIGKILL))
				}
				waitFor(t, "the end of the program", func() bool { return len(inNamespaces(namespaces)) == 0 })
				waitFor(t, "the end of the carrier", func() bool { return syscall.Kill(carrier, 0) != nil })
				p.end(128 + 9)
			})
		}
	})
}

// TestKilledEarly kills the front, or the carrier, while it starts.
func TestKilledEarly(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		for delay := time.Duration(0); delay < 60*time.Millisecond; delay += 4 * time.Millisecond {
			cmd := r.command("sleep", "61.5")
			must(t, cmd.Start())
			time.Sleep(delay)
			victim := cmd.Process.Pid
			if children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", victim, victim)); delay%8 > 0 && len(children) > 0 {
				victim, _ = strconv.Atoi(strings.Fields(string(children))[0])
			}
			syscall.Kill(victim, syscall.SIGKILL)
			cmd.Wait()
		}
		waitFor(t, "the end of all processes", func() bool {
			links, _ := filepath.Glob("/proc/[0-9]*/exe")
			for _, link := range links {
				line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
				if target, _ := os.Readlink(link); target == r.self || string(line) == "sleep\x0061.5\x00" {
					return false
				}
			}
			return true
		})
	})
}

// TestLeftBehind: what a program leaves running keeps its network, and is not waited for.
func TestLeftBehind(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		dir, err := os.MkdirTemp("", "exec")
		must(t, err)
		defer os.RemoveAll(dir)
		must(t, os.Chmod(dir, 0o777))
		go_, answer := filepath.Join(dir, "go"), filepath.Join(dir, "answer")
		p := r.start(t, "sh", "-c", `(exec >/dev/null 2>&1; while ! test -e "$1"; do sleep 0.1; done; "$0" `+asProgram+` ask tcp service.test:80 hello > "$2.new"; mv "$2.new" "$2") & readlink /proc/self/ns/net; exit 3`,
			r.self, go_, answer)
		namespace := p.expect("net:")
		p.end(3)
		must(t, os.WriteFile(go_, nil, 0o666))
		waitFor(t, "the answer", func() bool {
			b, _ := os.ReadFile(answer)
			return string(b) == "port 80: hello\n"
		})
		waitFor(t, "the end of the namespace", func() bool { return len(inNamespaces([]string{namespace})) == 0 })
	})
}

// TestSignals: a signal for the front, or for its process group, comes to the program
// once.
func TestSignals(t *testing.T) {
	const program = `trap 'n=$((n+1)); echo usr1 $n' USR1; trap 'echo int' INT; trap 'echo hup' HUP; trap 'echo cont' CONT; trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done`
	eachUser(t, func(t *testing.T, r runner) {
		p := r.start(t, "bash", "-c", program)
		p.expect("ready")
		send := func(pid int, sig syscall.Signal) {
			t.Helper()
			must(t, syscall.Kill(pid, sig))
		}
		send(p.cmd.Process.Pid, syscall.SIGUSR1)
		p.expect("usr1 1")
		send(-p.cmd.Process.Pid, syscall.SIGUSR1)
		p.expect("usr1 2")
		send(p.cmd.Process.Pid, syscall.SIGINT)
		p.expect("int")
		send(p.cmd.Process.Pid, syscall.SIGHUP)
		p.expect("hup")
		send(p.cmd.Process.Pid, syscall.SIGUSR1)
		p.expect("usr1 3") // and not 4: the group's came once
		send(p.cmd.Process.Pid, syscall.SIGTSTP)
		waitFor(t, "the front's stop", func() bool { return isStopped(p.cmd.Process.Pid) })
		send(p.cmd.Process.Pid, syscall.SIGCONT)
		p.expect("cont")
		send(p.cmd.Process.Pid, syscall.SIGTERM)
		p.expect("term")
		p.end(9)

		p = r.start(t, "sh", "-c", "echo ready; exec sleep 1000")
		p.expect("ready")
		send(p.cmd.Process.Pid, syscall.SIGINT)
		p.end(128 + 2)
	})
}

// TestIgnored: what the front was started to ignore, the program ignores.
func TestIgnored(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		cmd := r.command("sh", "-c", "kill -HUP $$; kill -INT $$; kill -TSTP $$; grep SigIgn /proc/self/status")
		cmd.Args = append([]string{"sh", "-c", `trap '' HUP INT TSTP; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		out, code := output(t, cmd)
		if code != 0 || !strings.HasSuffix(out, "80003\n") {
			t.Errorf("code %d, %q", code, out)
		}
	})
}
