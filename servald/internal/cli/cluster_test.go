package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/daemon"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// real runs command lines against a real servald.
type real struct{ t *testing.T }

func (r real) run(in string, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = Main(r.t.Context(), args, strings.NewReader(in), &o, &e)
	return o.String(), e.String(), code
}

// start runs a command in the background and returns its first line of notes.
func (r real) start(args ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	pr, pw := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, args, strings.NewReader(""), io.Discard, pw)
		pw.Close()
	}()
	r.t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			r.t.Errorf("%q ended with %d", args, code)
		}
	})
	line := make([]byte, 1000)
	n, err := pr.Read(line)
	if err != nil {
		r.t.Fatalf("%q: %v", args, err)
	}
	go io.Copy(io.Discard, pr)
	return string(line[:n])
}

// newReal returns one for a host of its own, without keys.
func newReal(t *testing.T) real {
	dir, err := os.MkdirTemp("", "serval") // short, for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for variable, value := range map[string]string{
		"SERVAL_HOME": filepath.Join(dir, "home"), "SERVAL_SOCKET": filepath.Join(dir, "s"),
		"SERVAL_LISTEN": "127.0.0.1:0", "SERVAL_TOKEN": "", "SERVAL_JOIN": "", "SERVAL_SERVICES": "",
	} {
		t.Setenv(variable, value)
	}
	return real{t}
}

// A whole cluster of one host: keys, daemon, and commands that find it.
func TestCluster(t *testing.T) {
	r := newReal(t)
	if _, errs, code := r.run("", "dial", "svc:up"); code != exitFailure || !strings.Contains(errs, "servald init") {
		t.Errorf("dial in no cluster: %s, code %d", errs, code)
	}
	if _, errs, code := r.run("", "status"); code != exitFailure || !strings.Contains(errs, "servald") {
		t.Errorf("status of nothing: %s, code %d", errs, code)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seed := free.Addr().String()
	free.Close()
	if _, errs, code := r.run("", "init", "--seed", seed); code != exitOK {
		t.Fatal(errs)
	}
	// The first host takes the address that its token names.
	if line := r.start("run"); !strings.HasPrefix(line, "ready") || !strings.Contains(line, seed) {
		t.Fatalf("run says %q", line)
	}
	serving := r.start("serve", "svc:up", "--", "tr", "a-z", "A-Z")
	name := strings.Fields(serving)[1]
	if !strings.HasPrefix(name, "svc:up#") {
		t.Fatalf("serve says %q", serving)
	}

	out, errs, code := r.run("", "services", "--json")
	var in instance
	if err := json.Unmarshal([]byte(out), &in); err != nil || in.Instance != name || len(in.Addrs) != 1 {
		t.Errorf("services: %q, %q, code %d", out, errs, code)
	}
	if out, _, _ := r.run("", "services", "up"); !strings.Contains(out, "\n"+name) {
		t.Errorf("services up: %q", out)
	}
	if out, errs, code := r.run("hello", "dial", "svc:up"); out != "HELLO" || code != 0 {
		t.Errorf("dial: %q, %q, code %d", out, errs, code)
	}
	out, errs, code = r.run("", "ping", "up.svc.serval", "-c", "1", "--json")
	var p pong
	if err := json.Unmarshal([]byte(out), &p); err != nil || p.Instance != name || p.Open <= 0 || p.RTT <= 0 {
		t.Errorf("ping: %q, %q, code %d", out, errs, code)
	}
	if _, _, code := r.run("", "dial", "svc:down"); code != exitNoService {
		t.Errorf("dial of nothing: code %d", code)
	}
	if _, errs, code := r.run("", "services", "svc:down"); code != exitNoService {
		t.Errorf("services of nothing: %s, code %d", errs, code)
	}
	if _, errs, code := r.run("", "dial", "a..b"); code != exitUsage || !strings.Contains(errs, "a..b") {
		t.Errorf("dial of a malformed name: %s, code %d", errs, code)
	}
	out, _, _ = r.run("", "status", "--json")
	var s daemon.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Members) != 1 {
		t.Errorf("status: %q", out)
	}
	if out, _, _ := r.run("", "status"); !strings.Contains(out, s.Node) {
		t.Errorf("status: %q", out)
	}
	// A proxy knows the address that DNS gives on any host.
	reachesAddress(t, strings.Fields(r.start("socks5", "localhost:0"))[3], vaddr.IPv6(sal.MustParseName("svc:up")))
	if out, _, _ := r.run("", "__complete", "dial", ""); !strings.HasPrefix(out, "svc:up\n") {
		t.Errorf("completion: %q", out)
	}
}

// reachesAddress checks that the service at a virtual address can be reached through a
// SOCKS5 proxy, which learns of it a moment after its start.
func reachesAddress(t *testing.T, at string, addr netip.Addr) {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", at, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := d.Dial("tcp", netip.AddrPortFrom(addr, 80).String())
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
