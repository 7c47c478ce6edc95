//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/internal/printed"
)

// patience is how long a program may take to print what is expected.
const patience = 10 * time.Second

// process is a program on a host. What it prints is kept, but for the standard
// output of downloads.
type process struct {
	cmd   *exec.Cmd
	host  *host
	in    io.WriteCloser
	done  chan struct{} // closed when it has exited
	lines *printed.Lines
}

// launch starts a program by start. With download, that reads its standard output
// to the end.
func launch(name string, cmd *exec.Cmd, start func(*exec.Cmd) error, download func(io.Reader)) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{}), lines: printed.By(name)}
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
		p.lines.Read(r)
	})
	work.Wait()
	p.cmd.Wait()
	close(p.done)
}

// expect waits for a line that matches and returns the match of its last group.
func (p *process) expect(ctx context.Context, pattern string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.lines.Expect(ctx, pattern, p.done)
}

// tail is the end of what the program printed.
func (p *process) tail() string { return p.lines.Tail() }

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}
