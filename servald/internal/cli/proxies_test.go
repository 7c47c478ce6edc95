package cli

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"github.com/serval-net/serval/servald/internal/expose"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// startLegacy runs a command that lets programs in until the test ends, and returns the
// address that it prints.
func startLegacy(t *testing.T, c *nodetest.Cluster, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		a := &App{in: strings.NewReader(""), out: w, err: io.Discard, open: func(context.Context, *App) (node, error) {
			n := c.Node()
			return stack{n, expose.On(n)}, nil
		}}
		done <- a.run(ctx, append(args, "--json", "--drain=0"))
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("%q ended with %d", args, code)
		}
	})
	var l listening
	if err := json.NewDecoder(r).Decode(&l); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return l.Address
}

// TestForward: a port and a socket lead to a service, by TCP and UDP; the socket of a
// program that was killed is no hindrance, another file is.
func TestForward(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	c.EchoPackets("svc:packets")
	dir := t.TempDir()
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	for _, at := range []string{"0", "127.0.0.1:0", "unix:" + filepath.Join(dir, "s")} {
		network, address, err := local(startLegacy(t, c, "forward", at, "svc:echo:80"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		nodetest.CheckEcho(t, conn)
		conn.Close()
	}
	conn, err := net.Dial("udp", strings.TrimPrefix(startLegacy(t, c, "forward", "udp:127.0.0.1:0", "packets.svc.serval"), "udp:"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	conn.Write([]byte("hello"))
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); !strings.HasSuffix(string(buf[:n]), " hello") {
		t.Errorf("%q came back, %v", buf[:n], err)
	}
	file := filepath.Join(dir, "precious")
	os.WriteFile(file, []byte("data"), 0o600)
	link := filepath.Join(dir, "link")
	os.Symlink(file, link)
	for _, path := range []string{file, link} {
		if _, errs, code := newNetwork(t).servald("", "forward", "unix:"+path, "svc:echo"); code != exitFailure || !strings.Contains(errs, "in the way") {
			t.Errorf("forward at a file: %s, code %d", errs, code)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "data" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

// TestProxies: both kinds of proxies work without a configuration.
func TestProxies(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	n := c.Node()
	ln, err := n.Listen("svc:web")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	go srv.Serve(ln)
	defer srv.Close()

	users := filepath.Join(t.TempDir(), "users")
	os.WriteFile(users, []byte("# who may\nalice:wonder:land\n"), 0o600)
	at := startLegacy(t, c, "socks5", "127.0.0.1:0", "--users", users)
	d, err := proxy.SOCKS5("tcp", at, &proxy.Auth{User: "alice", Password: "wonder:land"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := d.Dial("tcp", "echo.svc.serval:7")
	if err != nil {
		t.Fatal(err)
	}
	nodetest.CheckEcho(t, conn)
	conn.Close()

	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: startLegacy(t, c, "http-proxy", "127.0.0.1:0")})}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://web.svc.serval/")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "web.svc.serval" {
		t.Errorf("%s: %q", resp.Status, b)
	}
}

// TestProxyMistakes: what cannot work is told with what to do.
func TestProxyMistakes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		os.WriteFile(path, []byte(text), 0o600)
		os.Chmod(path, mode)
		return path
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tc := range []struct {
		args, words string
		code        int
	}{
		{"socks5 :1080", "0.0.0.0:1080", exitUsage},
		{"socks5 udp:1080", "TCP", exitUsage},
		{"socks5 --foreign everything", "none, public or any", exitUsage},
		{"socks5 --clients nonsense", "nonsense", exitUsage},
		{"socks5 0.0.0.0:0 --foreign public", "open proxy", exitFailure},
		{"http-proxy 0.0.0.0:0 --foreign any", "open proxy", exitFailure},
		{"http-proxy " + busy.Addr().String(), "another program listens", exitFailure},
		{"forward " + busy.Addr().String() + " svc:a", "another program listens", exitFailure},
		{"forward localhost svc:a", "no port", exitUsage},
		{"socks5 localhost:99999", "no port", exitUsage},
		{"forward 8080 svc:shop/*", "stands for many", exitUsage},
		{"forward 8080 svc:a:99999", "port", exitUsage},
		{"socks5 --users " + write("open", "a:b\n", 0o644), "chmod o-r", exitFailure},
		{"socks5 --users " + write("empty", "# nobody\n", 0o600), "no users", exitFailure},
		{"socks5 --users " + write("wrong", "a:b\nalice\n", 0o600), "wrong:2", exitFailure},
		{"socks5 --users " + dir + "/none", "no such file", exitFailure},
	} {
		if _, errs, code := newNetwork(t).servald("", strings.Fields(tc.args)...); code != tc.code || !strings.Contains(errs, tc.words) {
			t.Errorf("%s: %s, code %d", tc.args, errs, code)
		}
	}
}
