//go:build linux

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

// patience is how long a program may take to print what is expected.
const patience = 10 * time.Second

// process is a program on a host. What it prints is kept, but for the standard
// output of downloads.
type process struct {
	name string
	cmd  *exec.Cmd
	host *host
	in   io.WriteCloser
	done chan struct{} // closed when it has exited

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced when a line comes
}

// launch starts a program by start. With download, that reads its standard output
// to the end.
func launch(name string, cmd *exec.Cmd, start func(*exec.Cmd) error, download func(io.Reader)) (*process, error) {
	p := &process{name: name, cmd: cmd, done: make(chan struct{}), news: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	var data io.ReadCloser
	if download != nil {
		cmd.Stdout = nil
		if data, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := start(cmd); err != nil {
		r.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go p.follow(r, func() {
		if download != nil {
			download(data)
		}
	})
	return p, nil
}

// follow keeps what the program prints, and reaps it.
func (p *process) follow(r io.ReadCloser, download func()) {
	var work sync.WaitGroup
	work.Go(download)
	work.Go(func() {
		defer r.Close()
		scan := bufio.NewScanner(r)
		for scan.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, scan.Text())
			close(p.news)
			p.news = make(chan struct{})
			p.mu.Unlock()
		}
	})
	work.Wait()
	p.cmd.Wait()
	close(p.done)
}

// expect waits for a line that matches and returns the match of its first group.
func (p *process) expect(ctx context.Context, pattern string) (string, error) {
	re := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for from, ended := 0, false; ; {
		p.mu.Lock()
		lines, news := p.lines[from:], p.news
		p.mu.Unlock()
		for _, line := range lines {
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1], nil
			}
		}
		from += len(lines)
		if ended {
			return "", fmt.Errorf("%s ended:\n%s", p.name, p.tail())
		}
		select {
		case <-news:
		case <-p.done:
			ended = true
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

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}
