package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/expose"
)

// network is a cluster over TCP on loopback: names that are listened on.
type network struct {
	t     *testing.T
	mu    sync.Mutex
	names map[string]net.Listener
	news  *sync.Cond // a name was added
}

func newNetwork(t *testing.T) *network {
	n := &network{t: t, names: make(map[string]net.Listener)}
	n.news = sync.NewCond(&n.mu)
	return n
}

func (n *network) open(context.Context, *App) (node, error) { return n, nil }
func (n *network) Close() error                             { return nil }
func (n *network) Serval() *serval.Node                     { return nil }

func (n *network) DialContext(ctx context.Context, _, name string) (net.Conn, error) {
	n.mu.Lock()
	ln := n.names[name]
	n.mu.Unlock()
	if ln == nil {
		return nil, &serval.OpError{Op: "dial", Service: name, Err: serval.ErrNoService}
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", ln.Addr().String())
}

func (n *network) ListenAs(_ context.Context, _ serval.ListenConfig, name string) (expose.Listener, error) {
	ln, err := n.Listen(name)
	return tcpInstance{ln}, err
}

// tcpInstance is always found.
type tcpInstance struct{ net.Listener }

func (tcpInstance) Suspend(context.Context) error { return nil }
func (tcpInstance) Resume(context.Context) error  { return nil }
func (tcpInstance) Update(context.Context, func(*serval.ListenConfig)) error {
	return nil
}

func (n *network) Listen(name string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names[name] != nil {
		return nil, &serval.OpError{Op: "listen", Service: name, Err: serval.ErrInUse}
	}
	n.names[name] = conntest.Listen(n.t)
	n.news.Broadcast()
	return n.names[name], nil
}

func (n *network) wait(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.names[name] == nil {
		n.news.Wait()
	}
}

// servald runs a command line to its end.
func (n *network) servald(in string, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	a := &App{in: strings.NewReader(in), out: &o, err: &e, open: n.open}
	code = a.run(n.t.Context(), args)
	return o.String(), e.String(), code
}

// start runs a command that serves a name until the test ends.
func (n *network) start(name string, args ...string) {
	ctx, cancel := context.WithCancel(n.t.Context())
	var e bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- (&App{in: strings.NewReader(""), out: io.Discard, err: &e, open: n.open}).run(ctx, args)
	}()
	n.t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			n.t.Errorf("%q ended with %d: %s", args, code, e.String())
		}
	})
	n.wait(name)
}

func TestDialWithServe(t *testing.T) {
	n := newNetwork(t)
	backend := conntest.Listen(t)
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			fmt.Fprintf(c, "got %s", b)
			c.Close()
		}
	}()
	n.start("svc:a", "serve", "svc:a", "--to", backend.Addr().String())
	out, errs, code := n.servald("hello", "dial", "-v", "svc:a")
	if out != "got hello" || code != 0 || !strings.Contains(errs, "connected to") {
		t.Errorf("dial printed %q and %q, code %d", out, errs, code)
	}
	n.start("svc:cat", "serve", "svc:cat", "--", "cat", "-")
	if out, errs, code := n.servald("meow", "dial", "svc:cat"); out != "meow" || code != 0 {
		t.Errorf("dial printed %q and %q, code %d", out, errs, code)
	}
}

func TestExitCodes(t *testing.T) {
	n := newNetwork(t)
	for line, want := range map[string]int{
		"dial svc:none":                   exitNoService,
		"ping svc:none -c 2 -i 1ms":       exitNoService,
		"dial":                            exitUsage,
		"dial a b":                        exitUsage,
		"nonsense":                        exitUsage,
		"dial --nonsense svc:a":           exitUsage,
		"serve svc:a":                     exitUsage,
		"serve svc:a --to x -- cat":       exitUsage,
		"serve svc:a -- no-such-program-": exitUsage,
		"forward nonsense:1:2 svc:a":      exitUsage,
		"send svc:a":                      exitUsage,
		"send svc:a /no/such/file":        exitFailure,
		"recv svc:a /no/such/directory":   exitFailure,
		"version":                         exitOK,
		"help":                            exitOK,
		"completion bash":                 exitOK,
	} {
		_, errs, code := n.servald("", strings.Fields(line)...)
		if code != want {
			t.Errorf("servald %s: code %d, want %d: %s", line, code, want, errs)
		}
		if (code == exitUsage) != strings.Contains(errs, "servald help") {
			t.Errorf("servald %s: %s", line, errs)
		}
	}
	for err, want := range map[error]int{
		serval.ErrRefused: exitRefused, serval.ErrNotAuthorized: exitRefused, serval.ErrTimeout: exitTimeout,
		os.ErrDeadlineExceeded: exitTimeout, errors.New("x"): exitFailure, nil: exitOK,
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: code %d, want %d", err, got, want)
		}
	}
}

func TestSendAndRecv(t *testing.T) {
	n := newNetwork(t)
	src, dst, dst2 := t.TempDir(), t.TempDir(), t.TempDir()
	os.WriteFile(filepath.Join(src, "f"), []byte("content"), 0o644)
	n.start("svc:in", "recv", "--serve", "svc:in", dst)
	out, errs, code := n.servald("", "send", "--json", "svc:in", filepath.Join(src, "f"))
	var sum struct {
		Files int
		Bytes int64
	}
	if err := json.Unmarshal([]byte(out), &sum); err != nil || code != 0 || sum.Files != 1 || sum.Bytes != 7 {
		t.Errorf("send printed %q and %q, code %d", out, errs, code)
	}
	if b, err := os.ReadFile(filepath.Join(dst, "f")); string(b) != "content" {
		t.Errorf("received %q, %v", b, err)
	}
	if _, errs, code := n.servald("", "send", "svc:in", filepath.Join(src, "f")); code != exitFailure || !strings.Contains(errs, "exists already") {
		t.Errorf("sent again: %s, code %d", errs, code)
	}
	n.start("svc:out", "send", "--serve", "svc:out", src)
	if out, errs, code := n.servald("", "recv", "svc:out", dst2); code != 0 || !strings.HasPrefix(out, "received 1 files, 7 B") {
		t.Errorf("recv printed %q and %q, code %d", out, errs, code)
	}
	if b, err := os.ReadFile(filepath.Join(dst2, filepath.Base(src), "f")); string(b) != "content" {
		t.Errorf("received %q, %v", b, err)
	}
}

func TestPerf(t *testing.T) {
	n := newNetwork(t)
	n.start("svc:perf", "perf", "--serve", "svc:perf")
	out, errs, code := n.servald("", "perf", "svc:perf", "-t", "50ms", "-i", "10ms", "-P", "2", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var res struct {
		Bytes   int64
		Streams []any
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &res); err != nil || code != 0 || res.Bytes == 0 || len(res.Streams) != 2 {
		t.Errorf("perf printed %q and %q, code %d", out, errs, code)
	}
	if out, _, _ := n.servald("", "perf", "svc:perf", "-t", "20ms", "-R"); !strings.Contains(out, "received in") {
		t.Errorf("perf printed %q", out)
	}
}

func TestPing(t *testing.T) {
	n := newNetwork(t)
	n.start("svc:cat", "serve", "svc:cat", "--", "cat")
	out, _, code := n.servald("", "ping", "svc:cat", "-c", "2", "-i", "1ms")
	if code != 0 || !strings.Contains(out, "2 of 2 answered") {
		t.Errorf("ping printed %q, code %d", out, code)
	}
	out, _, _ = n.servald("", "ping", "svc:cat", "-c", "1", "--json")
	var p pong
	if err := json.Unmarshal([]byte(out), &p); err != nil || p.Seq != 1 || p.Open <= 0 {
		t.Errorf("ping printed %q", out)
	}
}
