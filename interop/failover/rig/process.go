//go:build linux

package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/lab"
)

// process is one side of a connection, in a process of its own on a host.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan string // lines of its standard output
	stderr  tail
}

// start runs this very program again on the host, as traffic.Process, with env
// added to its environment.
func start(ctx context.Context, h *lab.Host, env []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: h.Command(ctx, self, args...), answers: make(chan string, 16)}
	p.cmd.Stderr = &p.stderr
	p.cmd.Env = append(os.Environ(), env...)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.Start(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.answers)
		for r := bufio.NewReaderSize(out, 1<<20); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			p.answers <- line
		}
	}()
	return p, nil
}

// call gives a command and waits for its answer.
func (p *process) call(word, arg string, wait time.Duration, answer any) error {
	if _, err := fmt.Fprintf(p.in, "%s %s\n", word, arg); err != nil {
		return p.explain(err)
	}
	return p.expect(word, wait, answer)
}

// expect waits for the answer that begins with the word.
func (p *process) expect(word string, wait time.Duration, answer any) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case line, ok := <-p.answers:
		if !ok {
			return p.explain(errors.New("the process ended"))
		}
		value, ok := strings.CutPrefix(line, word+" ")
		if !ok {
			return p.explain(fmt.Errorf("the answer to %s is %.80q", word, line))
		}
		return json.Unmarshal([]byte(value), answer)
	case <-timer.C:
		return p.explain(fmt.Errorf("no answer to %s within %v", word, wait))
	}
}

// explain adds what the process complained of.
func (p *process) explain(err error) error {
	if s := p.stderr.String(); s != "" {
		return fmt.Errorf("%w: %s", err, s)
	}
	return err
}

// kill ends the process and waits for it.
func (p *process) kill() {
	p.in.Close()
	p.cmd.Process.Kill()
	for range p.answers { // Wait wants the pipe to be read
	}
	p.cmd.Wait()
}

// tail keeps the end of what is written to it. It is safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-most):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
