package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// fetch is one download of the content, or of what was missing of it.
type fetch struct {
	instance string
	bytes    int64
	elapsed  time.Duration
	first    time.Duration // until the first byte of the answer
	err      error         // the download broke off
}

// curl downloads url to path, going on where the file ends if resume is set.
type curl struct {
	path, headers, report string
	cmd                   *exec.Cmd
	started               time.Time
	done                  chan error
}

func startCurl(ctx context.Context, url, path string, resume bool) (*curl, error) {
	c := &curl{path: path, headers: path + ".headers", report: path + ".report", done: make(chan error, 1)}
	os.Remove(c.headers)
	args := []string{"--silent", "--show-error", "--fail", "--max-time", "120", "--dump-header", c.headers, "--output", path,
		"--write-out", "%{time_total} %{time_starttransfer} %{size_download}"}
	if resume {
		args = append(args, "--continue-at", "-")
	} else {
		os.Remove(path)
	}
	c.cmd = exec.CommandContext(ctx, "curl", append(args, url)...)
	report, err := os.Create(c.report)
	if err != nil {
		return nil, err
	}
	defer report.Close()
	c.cmd.Stdout = report
	var stderr strings.Builder
	c.cmd.Stderr = &stderr
	c.started = time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting curl: %w", err)
	}
	go func() {
		err := c.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("curl: %w: %s", err, strings.TrimSpace(stderr.String()))
		}
		c.done <- err
	}()
	return c, nil
}

// instance is who answers, as soon as that is known, else "".
func (c *curl) instance() string {
	b, _ := os.ReadFile(c.headers)
	const header = "X-Serval-Instance"
	for line := range strings.SplitSeq(string(b), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok && textproto.CanonicalMIMEHeaderKey(name) == http.CanonicalHeaderKey(header) {
			return value
		}
	}
	return ""
}

// size is how much of the file is there.
func (c *curl) size() int64 { return size(c.path) }

// wait waits until the download is over.
func (c *curl) wait() fetch {
	f := fetch{err: <-c.done}
	f.instance = c.instance()
	b, _ := os.ReadFile(c.report)
	if fields := strings.Fields(string(b)); len(fields) == 3 {
		f.elapsed, f.first = seconds(fields[0]), seconds(fields[1])
		f.bytes, _ = strconv.ParseInt(fields[2], 10, 64)
	}
	return f
}

func seconds(text string) time.Duration {
	v, _ := strconv.ParseFloat(text, 64)
	return time.Duration(v * float64(time.Second))
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// recv downloads the content with servald recv into a directory.
type recv struct {
	dir     string
	process *process
	started time.Time
}

func (c *cluster) startRecv(dir string) (*recv, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p, err := start("recv", c.client.env, c.servald, "recv", archive, dir, "--json", "-v", "--patience", patience)
	return &recv{dir: dir, process: p, started: time.Now()}, err
}

// instance waits until it is known who sends.
func (r *recv) instance(ctx context.Context) (string, error) {
	return r.process.expect(ctx, `connected to (\S+)`)
}

// size is how much has arrived: of the file, or of what will be it.
func (r *recv) size() (n int64) {
	found, _ := filepath.Glob(filepath.Join(r.dir, "*"))
	hidden, _ := filepath.Glob(filepath.Join(r.dir, ".*"))
	for _, path := range append(found, hidden...) {
		n += size(path)
	}
	return n
}

// wait waits until the transfer is over.
func (r *recv) wait(ctx context.Context) fetch {
	select {
	case <-r.process.done:
	case <-ctx.Done():
		r.process.kill()
		return fetch{err: ctx.Err()}
	}
	f := fetch{elapsed: time.Since(r.started)}
	f.instance, _ = r.instance(ctx)
	if !r.process.cmd.ProcessState.Success() {
		f.bytes, f.err = r.size(), errors.New(r.process.tail())
		return f
	}
	line, err := r.process.expect(ctx, `^(\{.*"bytes".*)$`)
	if err != nil {
		return fetch{err: err}
	}
	var sum struct {
		Bytes   int64
		Seconds float64
	}
	if err := json.Unmarshal([]byte(line), &sum); err != nil {
		return fetch{err: err}
	}
	f.bytes, f.elapsed = sum.Bytes, time.Duration(sum.Seconds*float64(time.Second))
	return f
}
