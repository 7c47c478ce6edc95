package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// process is a program of the cluster, whose standard error is kept.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has exited

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced when a line comes
}

// start starts a program with additional environment variables.
func start(name string, env []string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{}), news: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go p.follow(r)
	return p, nil
}

// follow keeps what the program prints, and reaps it.
func (p *process) follow(r io.ReadCloser) {
	defer r.Close()
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scan.Text())
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
	}
	p.cmd.Wait()
	close(p.done)
}

// expect waits for a line that matches and returns the match of its first group.
func (p *process) expect(ctx context.Context, pattern string) (string, error) {
	re := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for from := 0; ; {
		p.mu.Lock()
		lines, news := p.lines[from:], p.news
		p.mu.Unlock()
		for _, line := range lines {
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1], nil
			}
		}
		from += len(lines)
		select {
		case <-news:
		case <-p.done:
			return "", fmt.Errorf("%s ended before it was ready:\n%s", p.name, p.tail())
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not print %q in time:\n%s", p.name, pattern, p.tail())
		}
	}
}

// tail is the end of what the program printed.
func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return "    " + strings.Join(p.lines[max(0, len(p.lines)-10):], "\n    ")
}

// kill sends SIGKILL and waits until the program is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}
