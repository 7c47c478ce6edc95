package httpproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/nodetest"
	"github.com/serval-net/serval/servald/internal/outbound"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// start serves a proxy until the test ends, and returns its address.
func start(t testing.TB, c *nodetest.Cluster, s *Server) string {
	t.Helper()
	if s.Destinations == nil {
		s.Destinations = &outbound.Destinations{}
	}
	s.Destinations.Outbound = outbound.New(outbound.Config{Node: c.NodeWith(serval.Config{TryNext: 20 * time.Millisecond}), Timeout: time.Second,
		Rules: []outbound.Rule{{Name: sal.MustParseName("svc:secret"), Deny: true}}})
	s.Log = slog.New(slog.DiscardHandler)
	t.Cleanup(func() { // when it has ended
		if n := s.Active(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return conntest.Serve(t, s.Serve)
}

// web makes a node an instance of svc:web that HTTP is spoken with, and returns its ID.
func web(t *testing.T, c *nodetest.Cluster, h http.HandlerFunc) string {
	t.Helper()
	n := c.Node()
	ln, err := n.Listen("svc:web")
	if err != nil {
		t.Fatal(err)
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	srv := &http.Server{Protocols: p, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Instance", n.ID().Short())
		h(w, r)
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return n.ID().Short()
}

func through(at string, user *url.Userinfo) *http.Client {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: at, User: user})}
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// TestRequests: plain requests reach the service with what they should have, and only
// that; a client keeps its connection and its instance.
func TestRequests(t *testing.T) {
	c := nodetest.New(t)
	var mu sync.Mutex
	var got http.Header
	for range 3 {
		web(t, c, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			got = r.Header.Clone()
			mu.Unlock()
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.RequestURI, b)
			w.Header().Set("X-Sum", "7")
		})
	}
	at := start(t, c, &Server{})
	client := through(at, nil)
	defer client.CloseIdleConnections()
	instance := ""
	for range 20 {
		req, _ := http.NewRequest("POST", "http://user:pass@web.svc.serval/a?b=c", strings.NewReader("body"))
		req.Header.Set("X-Forwarded-For", "192.0.2.1")
		req.Header.Set("Proxy-Connection", "keep-alive")
		req.Header.Set("Connection", "upgrade, http2-settings")
		req.Header.Set("Upgrade", "h2c")
		req.Header.Set("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != "POST web.svc.serval /a?b=c body" || resp.StatusCode != 200 || resp.Trailer.Get("X-Sum") != "7" {
			t.Errorf("%d: %q, trailer %v", resp.StatusCode, b, resp.Trailer)
		}
		if i := resp.Header.Get("X-Instance"); instance != "" && instance != i {
			t.Errorf("instance %s, then %s", instance, i)
		} else {
			instance = i
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"Proxy-Connection", "Upgrade", "Http2-Settings", "Connection"} {
		if got.Get(name) != "" {
			t.Errorf("%s reached the service", name)
		}
	}
	if got.Get("X-Forwarded-For") != "192.0.2.1" || got.Get("Via") != "1.1 servald" {
		t.Errorf("the service saw %v", got)
	}
}

// TestTunnels: CONNECT leads to a service whatever is spoken inside, HTTP/2 for one, and
// what the client sends along with its request is not lost.
func TestTunnels(t *testing.T) {
	c := nodetest.New(t)
	web(t, c, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	c.Echo("svc:echo")
	at := start(t, c, &Server{})

	conn := conntest.Dial(t, at)
	io.WriteString(conn, "CONNECT echo.svc.serval:7 HTTP/1.1\r\nHost: echo.svc.serval:7\r\n\r\nearly\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	r.ReadString('\n')
	if line, err := r.ReadString('\n'); line != "early\n" {
		t.Errorf("%q came back, %v", line, err)
	}
	conn.CloseWrite()
	if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
		t.Errorf("after the end came %q, %v", b, err)
	}

	h2 := new(http.Protocols)
	h2.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: h2, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", addr)
		r := bufio.NewReaderSize(conn, 16)
		for {
			line, err := r.ReadString('\n')
			if err != nil || line == "\r\n" {
				return conn, err
			}
		}
	}}
	defer tr.CloseIdleConnections()
	resp, err = (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get("http://web.svc.serval/")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "HTTP/2.0" {
		t.Errorf("the service was spoken to in %s", b)
	}
}

// TestUpgrade: WebSockets work without a tunnel, too.
func TestUpgrade(t *testing.T) {
	c := nodetest.New(t)
	web(t, c, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.Copy(conn, rw)
	})
	at := start(t, c, &Server{})
	conn := conntest.Dial(t, at)
	io.WriteString(conn, "GET http://web.svc.serval/ws HTTP/1.1\r\nHost: web.svc.serval\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	io.WriteString(conn, "frame\n")
	if line, err := r.ReadString('\n'); line != "frame\n" {
		t.Errorf("%q came back, %v", line, err)
	}
}

// TestAnswers: failures, and what is asked of the proxy itself, are answered right.
func TestAnswers(t *testing.T) {
	c := nodetest.New(t)
	c.Serve(c.Node(), "svc:secret", func(net.Conn) {})
	c.Silent("svc:silent")
	at := start(t, c, &Server{ProxySettings: door.ProxySettings{Handshake: 200 * time.Millisecond}})
	for in, want := range map[string]string{
		"CONNECT none.svc.serval:80 HTTP/1.1\r\nHost: x\r\n\r\n":            "502 destination_not_found",
		"CONNECT secret.svc.serval:80 HTTP/1.1\r\nHost: x\r\n\r\n":          "403 http_request_denied",
		"CONNECT silent.svc.serval:80 HTTP/1.1\r\nHost: x\r\n\r\n":          "504 connection_timeout",
		"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n":               "403 destination_ip_prohibited",
		"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n":                  "403 destination_ip_prohibited",
		"CONNECT web.svc.serval HTTP/1.1\r\nHost: x\r\n\r\n":                "400 http_request_error",
		"GET http://none.svc.serval/ HTTP/1.1\r\nHost: x\r\n\r\n":           "502 destination_not_found",
		"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\n\r\n":     "403 destination_ip_prohibited",
		"GET https://web.svc.serval/ HTTP/1.1\r\nHost: x\r\n\r\n":           "501 http_request_error",
		"GET ftp://web.svc.serval/ HTTP/1.1\r\nHost: x\r\n\r\n":             "501 http_request_error",
		"GET /proxy.pac HTTP/1.1\r\nHost: evil.example\r\n\r\n":             "421 http_request_error",
		"POST /proxy.pac HTTP/1.1\r\nHost: localhost\r\n\r\n":               "405 http_request_error",
		"GET /etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n":               "404 http_request_error",
		"GET /proxy.pac HTTP/1.1\r\nHost: localhost:3128\r\n\r\n":           "200 ",
		"GET / HTTP/1.1\r\nHost: [::1]:3128\r\n\r\n":                        "200 ",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                  "405 http_request_error",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaa\n\r\n": "400 ",
		"\x05\x01\x00\n\r\n": "400 ",
		"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n":                        "400 ",
		"GET http://none.svc.serval/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", maxHeader+10000) + "\r\n\r\n": "431 ",
	} {
		conn := conntest.Dial(t, at)
		io.WriteString(conn, in)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		conn.Close()
		if err != nil {
			t.Errorf("%.60q: %v", in, err)
			continue
		}
		_, kind, _ := strings.Cut(resp.Header.Get("Proxy-Status"), "error=")
		if got := fmt.Sprint(resp.StatusCode, " ", kind); got != want {
			t.Errorf("%.60q is answered by %s, want %s", in, got, want)
		}
	}
}

// TestPAC: browsers are led here for services and nowhere else.
func TestPAC(t *testing.T) {
	at := start(t, nodetest.New(t), &Server{ProxySettings: door.ProxySettings{Users: door.Users{"a": "b"}}})
	resp, err := http.Get("http://" + at + "/proxy.pac")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if got := resp.Header.Get("Content-Type"); got != "application/x-ns-proxy-autoconfig" {
		t.Errorf("it is %s", got)
	}
	for _, want := range []string{`dnsDomainIs(host, ".svc.serval")`, `"PROXY ` + at + `"`, `"DIRECT"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestPassword: only who knows the password is served.
func TestPassword(t *testing.T) {
	c := nodetest.New(t)
	web(t, c, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the service sees the password")
		}
	})
	at := start(t, c, &Server{ProxySettings: door.ProxySettings{Users: door.Users{"alice": "wonderland"}}})
	for _, tc := range []struct {
		user *url.Userinfo
		want int
	}{
		{url.UserPassword("alice", "wonderland"), 200},
		{url.UserPassword("alice", "w"), 407},
		{url.UserPassword("bob", ""), 407},
		{nil, 407},
	} {
		client := through(at, tc.user)
		resp, err := client.Get("http://web.svc.serval/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		client.CloseIdleConnections()
		if resp.StatusCode != tc.want {
			t.Errorf("%v: %s", tc.user, resp.Status)
		}
	}
}

// TestServiceFails: an answer that breaks off does not look whole.
func TestServiceFails(t *testing.T) {
	c := nodetest.New(t)
	web(t, c, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half an ans")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	at := start(t, c, &Server{})
	client := through(at, nil)
	resp, err := client.Get("http://web.svc.serval/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer ended as if it were whole, after %q", b)
	}
	// HTTP/1.0 ends an answer by ending the connection.
	conn := conntest.Dial(t, at)
	io.WriteString(conn, "GET http://web.svc.serval/ HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(conn); err == nil {
		t.Errorf("the answer to HTTP/1.0 ended as if it were whole, after %q", b)
	}
}

// TestDrain: when told to stop, what is open has its time, and no more.
func TestDrain(t *testing.T) {
	c := nodetest.New(t)
	c.Echo("svc:echo")
	s := &Server{ProxySettings: door.ProxySettings{
		Settings:     door.Settings{Drain: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler)},
		Destinations: &outbound.Destinations{Outbound: outbound.New(outbound.Config{Node: c.Node()})}}}
	ln := conntest.Listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	conn := conntest.Dial(t, ln.Addr().String())
	io.WriteString(conn, "CONNECT echo.svc.serval:7 HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(conn, make([]byte, 39)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the tunnel was not cut: %v", err)
	}
}

// TestOpenProxy: the proxy refuses to lead strangers anywhere.
func TestOpenProxy(t *testing.T) {
	for _, tc := range []struct {
		s    *Server
		open bool
	}{
		{&Server{}, true},
		{&Server{ProxySettings: door.ProxySettings{Settings: door.Settings{Clients: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}}, true},
		{&Server{ProxySettings: door.ProxySettings{Settings: door.Settings{Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}}, false},
		{&Server{ProxySettings: door.ProxySettings{Users: door.Users{"a": "b"}}}, false},
	} {
		ln, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		tc.s.Destinations = &outbound.Destinations{Foreign: outbound.ForeignAny}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := tc.s.Serve(ctx, ln); (err != nil) != tc.open {
			t.Errorf("%+v: %v", tc.s.Clients, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET http://web.svc.serval/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT web.svc.serval:443 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic YTpi\r\n\r\n",
		"GET /proxy.pac HTTP/1.1\r\nHost: localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"POST http://[::1%25a]:0/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\n\r\n", "GET http:///x HTTP/1.1\r\nHost: \r\n\r\n", "CONNECT [::1]:65536 HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	node, err := serval.NewNode(serval.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { node.Close() })
	s := &Server{ProxySettings: door.ProxySettings{Settings: door.Settings{Log: slog.New(slog.DiscardHandler)},
		Destinations: &outbound.Destinations{Outbound: outbound.New(outbound.Config{Node: node, Timeout: time.Second})}}}
	if err := s.init(conntest.Listen(f)); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		a, other := net.Pipe()
		defer other.Close()
		v := s.visit(a, outbound.Client{}, func() {})
		defer v.Close()
		w := httptest.NewRecorder()
		s.serve(w, r.WithContext(context.WithValue(t.Context(), visitorKey{}, v)))
		if w.Code < 400 && (r.Method != "GET" && r.Method != "HEAD" || r.URL.Host != "") {
			t.Errorf("%d for %q", w.Code, b)
		}
	})
}
