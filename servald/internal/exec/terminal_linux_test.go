package exec

import (
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a shell in a terminal of its own.
type terminal struct {
	t    *testing.T
	file *os.File // the other side
	fd   int      // its

	mu   sync.Mutex
	text string // what came and was not expected yet
}

// openTerminal starts a command as a session of its own that a terminal of 30 by 90
// characters controls.
func openTerminal(t *testing.T, cmd *osexec.Cmd) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("needs pseudo-terminals: ", err)
	}
	file := os.NewFile(uintptr(fd), "ptmx")
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	path := fmt.Sprintf("/dev/pts/%d", number)
	if c := cmd.SysProcAttr.Credential; c != nil {
		must(t, os.Chown(path, int(c.Uid), -1))
	}
	side, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer side.Close()
	tt := &terminal{t: t, file: file, fd: fd}
	tt.resize(30, 90)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = side, side, side
	cmd.SysProcAttr.Setpgid = false
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	must(t, cmd.Start())
	t.Cleanup(func() {
		file.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := file.Read(buf)
			if err != nil {
				return
			}
			tt.mu.Lock()
			tt.text += string(buf[:n])
			tt.mu.Unlock()
		}
	}()
	return tt
}

func (tt *terminal) resize(rows, columns uint16) {
	tt.t.Helper()
	must(tt.t, unix.IoctlSetWinsize(tt.fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
}

// do types text and waits for what is wanted to come.
func (tt *terminal) do(text, want string) {
	tt.t.Helper()
	_, err := tt.file.WriteString(text)
	must(tt.t, err)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		tt.mu.Lock()
		_, rest, found := strings.Cut(tt.text, want)
		if found {
			tt.text = rest
		}
		seen := tt.text
		tt.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(end) {
			tt.t.Fatalf("after %q, %q did not come; %q did", text, want, seen)
		}
	}
}

// shell starts an interactive bash, whose lines end with "% ", and in which "run" is
// the front.
func shell(t *testing.T, r runner) *terminal {
	t.Helper()
	cmd := r.command()
	cmd.Path, cmd.Args = "/bin/bash", []string{"bash", "--norc", "--noprofile", "-i"}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PS1=% ", "TERM=dumb", "HISTFILE=", "RUN=" + r.self + " " + asFront, "SELF=" + r.self}
	tt := openTerminal(t, cmd)
	tt.do("stty -echo\n", "% ")
	tt.do("\n", "% ")
	return tt
}

// TestJobControl: a shell stops and continues a program as if it was its own, also one
// that has jobs itself.
func TestJobControl(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		t.Run("interrupt", func(t *testing.T) {
			tt := shell(t, r)
			tt.do("$RUN sh -c 'echo rea''dy; exec sleep 60'\n", "ready")
			tt.do("\x03", "% ")
			tt.do("echo code $?\n", "code 130")
		})
		t.Run("stop", func(t *testing.T) {
			tt := shell(t, r)
			tt.do("$RUN bash -c 'trap \"echo w''oken\" CONT; echo rea''dy; while read x; do echo got $x; done; echo e''nd; exit 4'\n", "ready")
			tt.do("\x1a", "Stopped")
			tt.do("fg\n", "woken")
			tt.do("line\n", "got line")
			tt.do("\x1a", "Stopped")
			tt.do("bg; for i in 1 2 3 4 5 6; do sleep 0.5; jobs; done\n", "Stopped") // as it reads the terminal, which is not its own now
			time.Sleep(3 * time.Second)                                              // until the loop is over
			tt.do("fg\n", "woken")
			tt.do("\x04", "end")
			tt.do("echo code $?\n", "code 4")
		})
		t.Run("shell", func(t *testing.T) {
			tt := shell(t, r)
			tt.do("PS1='inner> ' $RUN bash --norc --noprofile -i\n", "inner> ")
			tt.do("stty size\n", "30 90")
			tt.do("sh -c 'echo rea''dy; exec sleep 60'\n", "ready")
			tt.do("\x1a", "Stopped")
			tt.do("fg\n", "sh -c")
			time.Sleep(500 * time.Millisecond)
			tt.do("\x03", "inner> ")
			time.Sleep(500 * time.Millisecond) // the shell drops what is typed meanwhile
			tt.do("suspend\n", "Stopped")
			tt.do("fg\n", "bash")
			tt.do("echo a''live\n", "alive")
			tt.do("exit 5\n", "% ")
			tt.do("echo code $?\n", "code 5")
		})
		t.Run("signals from the shell", func(t *testing.T) {
			tt := shell(t, r)
			tt.do("$RUN sh -c 'echo rea''dy; exec sleep 60' &\n", "ready")
			tt.do("kill -STOP %1; sleep 1; jobs\n", "Stopped")
			tt.do("kill -CONT %1; sleep 1; jobs\n", "Running")
			tt.do("kill %1; wait %1; echo code $?\n", "code 143")
		})
		t.Run("killed while stopped", func(t *testing.T) {
			tt := shell(t, r)
			tt.do("$RUN sh -c 'echo pid $$; exec sleep 60'\n", "pid ")
			tt.do("\x1a", "Stopped")
			tt.do("pkill -KILL -g $(jobs -p) sleep; sleep 1; jobs; echo\n", "Killed")
		})
		t.Run("pipeline", func(t *testing.T) {
			tt := shell(t, r)
			tt.do("printf '1\\n2\\n' | $RUN cat | $RUN wc -l\n", "2")
			tt.do("\n", "% ")
			tt.do("$RUN sh -c 'echo rea''dy; exec sleep 60' | cat\n", "ready")
			tt.do("\x03", "% ")
			time.Sleep(500 * time.Millisecond) // the shell drops what is typed meanwhile
			tt.do("echo code ${PIPESTATUS[@]}\n", "code 130 130")
		})
		t.Run("window", func(t *testing.T) {
			tt := shell(t, r)
			tt.do("$RUN bash -c 'trap \"stty size\" WINCH; echo rea''dy; while read -t 60 x; do :; done'\n", "ready")
			tt.resize(40, 100)
			tt.do("", "40 100")
			tt.do("\x04", "% ")
		})
	})
}

// TestSessionLeader: a front that leads its session cannot leave its process group.
func TestSessionLeader(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		tt := openTerminal(t, r.command("bash", "-c", `trap 'n=$((n+1)); echo int $n' INT; trap 'echo term; exit 0' TERM; echo ready; while :; do sleep 0.05; done`))
		tt.do("", "ready")
		tt.do("\x03", "int 1")
		time.Sleep(200 * time.Millisecond)
		tt.do("\x03", "int 2") // each came once
	})
}

// TestHangUp: when its terminal goes, so does a program.
func TestHangUp(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		cmd := r.command("sh", "-c", "echo ready; exec sleep 60")
		tt := openTerminal(t, cmd)
		tt.do("", "ready")
		tt.file.Close()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
			if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGHUP {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
		case <-time.After(30 * time.Second):
			t.Error("the program has survived its terminal")
		}
	})
}
