//go:build unix

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/serval-net/serval/interop/internal/printed"
)

// patience is how long a program may take to print what is expected, or to end
// when asked to.
const patience = 15 * time.Second

// Find is exec.LookPath that knows where systems keep their servers.
func Find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, d := range append(dirs, "/usr/sbin", "/sbin", "/usr/lib/git-core") {
		if i, e := os.Stat(d + "/" + program); e == nil && i.Mode()&0o111 != 0 {
			return d + "/" + program, nil
		}
	}
	return "", err
}

// Process is a running program. What it prints is kept, up to a limit.
type Process struct {
	Name string

	cmd   *exec.Cmd
	done  chan struct{} // closed when it has exited
	err   error         // how, once done
	lines *printed.Lines
}

// Start starts a program. It is killed when ctx ends.
func Start(ctx context.Context, name string, env []string, args ...string) (*Process, error) {
	return startAt(ctx, here{}, name, env, args...)
}

func startAt(ctx context.Context, place Place, name string, env []string, args ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	// What it starts ends with it: nginx has workers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	p := &Process{Name: name, cmd: cmd, done: make(chan struct{}), lines: printed.By(name)}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if err := place.Do(cmd.Start); err != nil {
		r.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go p.follow(r)
	return p, nil
}

// follow keeps what the program prints, and reaps it.
func (p *Process) follow(r io.ReadCloser) {
	p.lines.Read(r)
	r.Close()
	p.err = p.cmd.Wait()
	close(p.done)
}

// Expect waits for a line that matches and returns the match of its last group.
func (p *Process) Expect(ctx context.Context, pattern string) (string, error) {
	return p.ExpectWithin(ctx, patience, pattern)
}

// ExpectWithin is Expect for a line that takes longer.
func (p *Process) ExpectWithin(ctx context.Context, d time.Duration, pattern string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return p.lines.Expect(ctx, pattern, p.done)
}

// Output waits for the program's end and returns what it printed.
func (p *Process) Output() (string, error) {
	<-p.done
	if p.err != nil {
		return "", fmt.Errorf("%s: %w:\n%s", p.Name, p.err, p.lines.Text())
	}
	return p.lines.Text(), nil
}

// ParseLast parses the last line of a program's output, as JSON.
func ParseLast(out string, into any) error {
	out = strings.TrimSpace(out)
	last := out[strings.LastIndexByte(out, '\n')+1:]
	if err := json.Unmarshal([]byte(last), into); err != nil {
		return fmt.Errorf("%w: %.300s", err, out)
	}
	return nil
}

// OutputWithin is Output that ends the program with the context, which is an error.
func (p *Process) OutputWithin(ctx context.Context) (string, error) {
	select {
	case <-p.done:
		return p.Output()
	case <-ctx.Done():
		p.Kill()
		return "", fmt.Errorf("%s was not done in time:\n%s", strings.Join(p.cmd.Args, " "), p.Tail())
	}
}

// Tail is the end of what the program printed.
func (p *Process) Tail() string { return p.lines.Tail() }

// PID is the program's process number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the program with SIGKILL, as a crash would, and waits.
func (p *Process) Kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// Freeze stops the program in its tracks, with SIGSTOP: the kernel goes on taking
// what is sent to it, and nobody answers.
func (p *Process) Freeze() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGSTOP) }

// Thaw lets a frozen program go on.
func (p *Process) Thaw() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) }

// Stop asks the program to end and waits until it has; one that does not is
// killed, which is an error.
func (p *Process) Stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		p.Kill()
		return errors.New(p.Name + " did not end when asked to; it was killed")
	}
}
