package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

func TestInstanceFlagMistakes(t *testing.T) {
	n := newNetwork(t)
	for flags, want := range map[string]string{
		"--weight 0":           "at least 1",
		"--balance fastest":    "fastest",
		"--keys 9/1":           "bits set beyond",
		"--check icmp":         "no way to ask",
		"--check cmd:":         "names no command",
		"--check tcp:x:80":     "takes no address",
		"--load tcp":           "there is none",
		"--check-every -1s":    "must be more than 0",
		"--load nonsense":      "no way to ask",
		"--keys 8/1 --check x": "no way to ask",
	} {
		args := append([]string{"serve", "svc:a", "--to", "localhost:80"}, strings.Fields(flags)...)
		_, errs, code := n.servald("", args...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, %q; want %q", flags, code, errs, want)
		}
	}
	if _, errs, code := n.servald("", "serve", "svc:a", "--check", "tcp", "--", "cat"); code != exitUsage || !strings.Contains(errs, "there is none") {
		t.Errorf("a TCP check of a command: code %d, %q", code, errs)
	}
	if _, errs, code := n.servald("", "serve", "a b", "--check", "cmd:false", "--to", ":80"); code != exitUsage {
		t.Errorf("a malformed name: code %d, %q", code, errs)
	}
}

// cluster starts a daemon and returns a client of it.
func (r real) cluster() *control.Client {
	r.t.Helper()
	if _, errs, code := r.run("", "init"); code != exitOK {
		r.t.Fatal(errs)
	}
	if line := r.start("run"); !strings.HasPrefix(line, "ready") {
		r.t.Fatal(line)
	}
	c := control.NewClient(os.Getenv("SERVAL_SOCKET"))
	r.t.Cleanup(func() { c.Close() })
	return c
}

// TestServeAsInstance: what the flags of serve say is what diallers find.
func TestServeAsInstance(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the load is learnt from a Unix command")
	}
	r := newReal(t)
	c := r.cluster()
	load := filepath.Join(t.TempDir(), "load")
	if err := os.WriteFile(load, []byte("0.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start("serve", "svc:cache", "--weight", "5", "--priority", "-2", "--balance", "least-load", "--keys", "0/2,c/2",
		"--load", "cmd:cat "+load, "--check-every", "50ms", "--", "cat")
	in := waitFor(t, c, "svc:cache", func(in []resolver.Instance) bool { return len(in) == 1 && in[0].Load == 0.5 })[0]
	var keys []string
	for _, k := range in.Keys {
		keys = append(keys, k.String())
	}
	if in.Weight != 5 || in.Priority != -2 || in.Balance != resolver.BalanceLeastLoad || !reflect.DeepEqual(keys, []string{"0/2", "c/2"}) {
		t.Errorf("the instance is known as %+v", in)
	}
	if err := os.WriteFile(load, []byte("0.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, c, "svc:cache", func(in []resolver.Instance) bool { return len(in) == 1 && in[0].Load == 0.9 })
}

// waitFor waits until the instances of a service are as they should be.
func waitFor(t *testing.T, c *control.Client, service string, good func([]resolver.Instance) bool) []resolver.Instance {
	t.Helper()
	var found []resolver.Instance
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		found, _ = c.Resolve(t.Context(), sal.MustParseName(service))
		if good(found) {
			return found
		}
	}
	t.Fatalf("the instances of %s are %+v", service, found)
	return nil
}

// TestServeChecks: an instance is found while its server is well. What it serves
// when the server falls ill goes on.
func TestServeChecks(t *testing.T) {
	r := newReal(t)
	c := r.cluster()
	backend := conntest.Listen(t)
	addr := backend.Addr().String()
	backend.Close()
	none := func(in []resolver.Instance) bool { return len(in) == 0 }
	one := func(in []resolver.Instance) bool { return len(in) == 1 }

	if line := r.start("serve", "svc:web", "--to", addr, "--check", "tcp", "--check-every", "20ms"); !strings.Contains(line, "waits for its server") {
		t.Fatalf("serve says %q", line)
	}
	waitFor(t, c, "svc:web", none)
	start := func() net.Listener {
		var lc net.ListenConfig
		ln, err := lc.Listen(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go conntest.Echo(ln)
		return ln
	}
	ln := start()
	waitFor(t, c, "svc:web", one)
	if out, errs, code := r.run("hello", "dial", "svc:web"); out != "hello" || code != 0 {
		t.Errorf("dial: %q, %q, code %d", out, errs, code)
	}
	ln.Close()
	waitFor(t, c, "svc:web", none)
	if _, _, code := r.run("", "dial", "svc:web"); code != exitNoService {
		t.Errorf("dial of what is ill: code %d", code)
	}
	start()
	waitFor(t, c, "svc:web", one)
	if out, errs, code := r.run("again", "dial", "svc:web"); out != "again" || code != 0 {
		t.Errorf("dial: %q, %q, code %d", out, errs, code)
	}
}

// TestServeStopsUnderLoad: whoever runs serve behind a name may stop one after the
// other, and start others, while no request fails.
func TestServeStopsUnderLoad(t *testing.T) {
	r := newReal(t)
	c := r.cluster()
	backend := conntest.Listen(t)
	go conntest.Echo(backend)
	serve := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int, 1)
		go func() {
			done <- Main(ctx, []string{"serve", "svc:echo", "--to", backend.Addr().String()}, strings.NewReader(""), io.Discard, io.Discard)
		}()
		return func() {
			cancel()
			if code := <-done; code != 0 {
				t.Errorf("serve ended with %d", code)
			}
		}
	}
	stops := []func(){serve(), serve()}
	waitFor(t, c, "svc:echo", func(in []resolver.Instance) bool { return len(in) == 2 })

	cfg, err := serval.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	client, err := serval.NewNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	end := make(chan struct{})
	var failed, total atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				total.Add(1)
				if err := request(client); err != nil && failed.Add(1) <= 3 {
					t.Errorf("a request failed: %v", err)
				}
			}
		})
	}
	for range 6 {
		stops = append(stops, serve())
		waitFor(t, c, "svc:echo", func(in []resolver.Instance) bool { return len(in) == 3 })
		stops[0]()
		stops = stops[1:]
		time.Sleep(100 * time.Millisecond)
	}
	close(end)
	clients.Wait()
	for _, stop := range stops {
		stop()
	}
	t.Logf("%d requests, %d failed", total.Load(), failed.Load())
	if total.Load() < 40 {
		t.Errorf("%d requests are too few for a test", total.Load())
	}
}

// request dials an echo, and says something.
func request(n *serval.Node) error {
	c, err := n.Dial("svc:echo")
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "hello"); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err == nil && string(got) != "hello" {
		err = fmt.Errorf("the echo is %q", got)
	}
	return err
}
