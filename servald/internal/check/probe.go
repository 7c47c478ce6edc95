package check

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/servald/internal/mark"
)

// Probe is a way to ask a server, see [Parse].
type Probe struct {
	text string
	// ask returns what the server said, in at most maxAnswer bytes.
	ask func(ctx context.Context) ([]byte, error)
}

// maxAnswer is the most that is read of an answer.
const maxAnswer = 4 << 10

// String returns what Parse read.
func (p Probe) String() string { return p.text }

// Parse reads a way to ask a server:
//
//	tcp                that the server, which dial connects to, takes connections
//	http://HOST:PORT/  that the URL, also https, answers a GET with a status below 400
//	cmd:COMMAND        that the command, run by the shell, ends with status 0
//
// Of the latter two, what is said is the body and the standard output.
func Parse(text string, dial func(context.Context) (net.Conn, error)) (Probe, error) {
	p := Probe{text: text}
	switch kind, rest, _ := strings.Cut(text, ":"); kind {
	case "tcp":
		if rest != "" {
			return p, fmt.Errorf("%q: tcp asks the server that connections go to and takes no address", text)
		}
		if dial == nil {
			return p, fmt.Errorf("tcp asks a TCP server, and there is none; use cmd:COMMAND or an URL")
		}
		p.ask = func(ctx context.Context) ([]byte, error) { return nil, connects(ctx, dial) }
	case "http", "https":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return p, fmt.Errorf("%q is not an URL; write one such as http://localhost:8080/health", text)
		}
		p.ask = func(ctx context.Context) ([]byte, error) { return get(ctx, text) }
	case "cmd":
		if strings.TrimSpace(rest) == "" {
			return p, fmt.Errorf("%q names no command; write one such as cmd:pg_isready", text)
		}
		p.ask = func(ctx context.Context) ([]byte, error) { return run(ctx, rest) }
	default:
		return p, fmt.Errorf("%q is no way to ask a server; write tcp, http://HOST:PORT/PATH or cmd:COMMAND", text)
	}
	return p, nil
}

// Check asks whether the server is well.
func (p Probe) Check(ctx context.Context) error {
	_, err := p.ask(ctx)
	return err
}

// Number asks for a number, which must be all that is said.
func (p Probe) Number(ctx context.Context) (float64, error) {
	said, err := p.ask(ctx)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(string(bytes.TrimSpace(said)), 64)
	if err != nil {
		return 0, fmt.Errorf("%s said %.40q, which is not a number", p, said)
	}
	return v, nil
}

func connects(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// client keeps no connections, so that it finds out whether new ones are taken, and asks
// the server itself where connections to it are captured.
var client = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true, DialContext: (&net.Dialer{Control: mark.Control}).DialContext},
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return nil, fmt.Errorf("%s says %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}

// killDelay is how long the children of a command that is stopped may hold on to
// its output.
const killDelay = time.Second

func run(ctx context.Context, line string) ([]byte, error) {
	shell := []string{"/bin/sh", "-c", line}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/C", line}
	}
	cmd := exec.CommandContext(ctx, shell[0], shell[1:]...)
	cmd.WaitDelay = killDelay
	asGroup(cmd)
	var out, errs limited
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if why := bytes.TrimSpace(errs.b); len(why) > 0 {
			return nil, fmt.Errorf("%s: %w: %.200s", line, err, why)
		}
		return nil, fmt.Errorf("%s: %w", line, err)
	}
	return out.b, nil
}

// limited keeps the beginning of what is written.
type limited struct{ b []byte }

func (l *limited) Write(b []byte) (int, error) {
	l.b = append(l.b, b[:min(len(b), maxAnswer-len(l.b))]...)
	return len(b), nil
}
