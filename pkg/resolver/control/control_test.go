package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/unixsock"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

var (
	web = sal.MustParseName("svc:web")
	ctx = context.Background()
)

func newIdentity(t testing.TB) *identity.Identity {
	t.Helper()
	id, _, err := identity.Ephemeral(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func registrationOf(id *identity.Identity) resolver.Registration {
	return resolver.Registration{
		Service:  web,
		Identity: id,
		Addrs:    []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001"), netip.MustParseAddrPort("[2001:db8::1]:7001")},
		Weight:   3,
	}
}

// socket returns a short path, since those of sockets are limited to some 100
// bytes, fewer than a directory for tests may have.
func socket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "serval")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "serval", socketName)
}

// serve runs a server at path until the test ends or stop is called.
func serve(t testing.TB, path string, s *Server) (stop func()) {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv, done := s.HTTP(), make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	stop = func() {
		srv.Close()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func newServer(id *identity.Identity) *Server {
	return &Server{Directory: resolver.NewDirectory(id.Cluster()), Cluster: id.Cluster()}
}

func newClient(t testing.TB, path string) *Client {
	c := NewClient(path)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRegisterResolveWithdraw(t *testing.T) {
	var _ interface {
		resolver.Resolver
		resolver.Lister
		resolver.Registrar
		resolver.Feedback
	} = (*Client)(nil)
	id, path := newIdentity(t), socket(t)
	s := newServer(id)
	serve(t, path, s)
	c := newClient(t, path)

	if _, err := c.Resolve(ctx, web); !errors.Is(err, resolver.ErrNoService) {
		t.Errorf("before: %v", err)
	}
	reg := registrationOf(id)
	lease, err := c.Register(ctx, reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, ask := range []func() ([]resolver.Instance, error){
		func() ([]resolver.Instance, error) { return c.Resolve(ctx, web) },
		func() ([]resolver.Instance, error) { return c.Services(ctx) },
	} {
		found, err := ask()
		if err != nil || len(found) != 1 {
			t.Fatalf("found %v, %v", found, err)
		}
		in := found[0]
		if in.Node != id.Node() || in.Service != web || in.Weight != 3 || len(in.Addrs) != 2 || in.Addrs[1] != reg.Addrs[1] || in.Version == 0 || in.Expires.IsZero() {
			t.Errorf("found %+v", in)
		}
	}
	s.Directory.Report(resolver.Instance{Node: id.Node()}, false)
	if found, err := c.Resolve(ctx, web); err != nil || !found[0].Suspect {
		t.Errorf("others did not get an answer: found %+v, %v", found, err)
	}
	for range 2 {
		if err := lease.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Resolve(ctx, web); !errors.Is(err, resolver.ErrNoService) {
		t.Errorf("after: %v", err)
	}
}

// TestRenewal: a lease outlives its TTL and its daemon.
func TestRenewal(t *testing.T) {
	id, path := newIdentity(t), socket(t)
	stop := serve(t, path, newServer(id))
	c := newClient(t, path)
	reg := registrationOf(id)
	reg.TTL = resolver.MinTTL
	lease, err := c.Register(ctx, reg)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	second := newServer(id)
	directory := second.Directory.(*resolver.Directory)
	news, ignore := directory.Watch()
	defer ignore()
	serve(t, path, second)
	for range 2 {
		<-news
	}
	if found, err := c.Resolve(ctx, web); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	if err := lease.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestFeedback(t *testing.T) {
	id, path := newIdentity(t), socket(t)
	reported := make(chan resolver.Instance, 1)
	s := newServer(id)
	s.Directory = listening{s.Directory, reported}
	serve(t, path, s)
	c := newClient(t, path)
	c.Report(resolver.Instance{Service: web, Node: id.Node()}, false)
	if in := <-reported; in.Node != id.Node() || in.Service != web {
		t.Errorf("reported %+v", in)
	}
}

type listening struct {
	Directory
	reported chan resolver.Instance
}

func (l listening) Report(in resolver.Instance, ok bool) {
	if !ok {
		l.reported <- in
	}
}

func TestStatusAndCertificate(t *testing.T) {
	id, path := newIdentity(t), socket(t)
	s := newServer(id)
	s.Status = func(context.Context) any { return map[string]int{"flows": 7} }
	s.Certify = func(_ context.Context, request []byte) ([]byte, error) {
		if len(request) == 0 {
			return nil, errors.New("the request is empty")
		}
		return append([]byte("signed "), request...), nil
	}
	serve(t, path, s)
	c := newClient(t, path)
	var got struct{ Flows int }
	if err := c.Status(ctx, &got); err != nil || got.Flows != 7 {
		t.Errorf("status %+v, %v", got, err)
	}
	if made, err := c.Certify(ctx, []byte("keys")); err != nil || string(made) != "signed keys" {
		t.Errorf("certificate %q, %v", made, err)
	}
	if _, err := c.Certify(ctx, nil); err == nil || !strings.Contains(err.Error(), "the request is empty") {
		t.Errorf("an empty request: %v", err)
	}
}

// TestRequests sends what curl might, and worse.
func TestRequests(t *testing.T) {
	id, stranger := newIdentity(t), newIdentity(t)
	h := newServer(id).Handler()
	body := func(reg resolver.Registration, withdraw func(time.Time) (*resolver.Record, error)) string {
		now := time.Now()
		record, err := reg.Announce(now)
		if err != nil {
			t.Fatal(err)
		}
		end, err := withdraw(now)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(registration{record.Raw(), end.Raw()})
		return string(b)
	}
	ours, theirs := registrationOf(id), registrationOf(stranger)
	shop := ours
	shop.Service = sal.MustParseName("shop")
	for _, test := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/v1/status", "", 200, "{}"},
		{"GET", "/v1/services", "", 200, `{"instances":[]}`},
		{"GET", "/v1/resolve?name=web", "", 404, `"code":"no-service"`},
		{"GET", "/v1/resolve?name=a..b", "", 400, "service name"},
		{"GET", "/v1/resolve", "", 400, "?name=svc:web"},
		{"GET", "/v2/status", "", 404, "there is no GET /v2/status"},
		{"DELETE", "/v1/status", "", 404, "there is no DELETE /v1/status"},
		{"DELETE", "/v1/register/none", "", 404, "no registration"},
		{"POST", "/v1/register", "", 400, "JSON"},
		{"POST", "/v1/register", "{}", 400, "bad record"},
		{"POST", "/v1/register", strings.Repeat(" ", maxBody+1), 413, "longer than"},
		{"POST", "/v1/register", body(theirs, theirs.Withdraw), 400, "wrong cluster"},
		{"POST", "/v1/register", body(ours, ours.Announce), 400, "not that of the record"},
		{"POST", "/v1/register", body(ours, shop.Withdraw), 400, "not that of the record"},
		{"POST", "/v1/register", body(ours, ours.Withdraw), 200, `"service":"svc:web"`},
		{"GET", "/v1/resolve?name=web.svc.serval:80", "", 200, `"addrs":["192.0.2.1:7001","[2001:db8::1]:7001"]`},
		{"POST", "/v1/feedback", `{"service":"web","node":"x"}`, 400, "node ID"},
		{"POST", "/v1/feedback", `{"service":"web","node":"` + id.Node().String() + `"}`, 200, "{}"},
		{"POST", "/v1/certificate", `{}`, 403, "join token"},
		{"POST", "/v1/reload", "", 403, "no configuration"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %d %s, want %d %q", test.method, test.path, w.Code, w.Body, test.status, test.says)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	path := socket(t)
	_, err := newClient(t, path).Resolve(ctx, web)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "servald") {
		t.Errorf("error %v", err)
	}
	c := NewClient(path)
	c.Close()
	if _, err := c.Register(ctx, registrationOf(newIdentity(t))); err == nil {
		t.Error("a closed client registers")
	}
}

func FuzzRequests(f *testing.F) {
	id, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	s := &Server{Directory: resolver.NewDirectory(id.Cluster()), Cluster: id.Cluster()}
	h := s.Handler()
	f.Add("/v1/register", []byte(`{"record":"AQ==","withdrawal":"AQ=="}`))
	f.Add("/v1/feedback", []byte(`{"service":"web","addrs":["[::1]:1"],"ok":true}`))
	f.Add("/v1/certificate", []byte(`{"request":""}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		r, err := http.NewRequest("POST", "http://serval/", bytes.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path = path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		b, _ := io.ReadAll(w.Body)
		if w.Code == http.StatusOK && !json.Valid(b) {
			t.Errorf("%d %q", w.Code, b)
		}
	})
}

func TestSocket(t *testing.T) {
	path := socket(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second daemon: %v", err)
	}
	l.(*unixsock.Listener).SetUnlinkOnClose(false) // as if killed
	l.Close()
	if l, err = Listen(path); err != nil {
		t.Fatalf("with a stale socket: %v", err)
	}
	l.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("with a file in the way: %v", err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("in a directory open to all: %v", err)
	}
}

func TestSocketPath(t *testing.T) {
	path := socket(t)
	t.Setenv("SERVAL_SOCKET", path)
	if SocketPath() != path {
		t.Error("SERVAL_SOCKET is not used")
	}
	if found, ok := FindSocket(); ok {
		t.Errorf("found %s", found)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if found, ok := FindSocket(); !ok || found != path {
		t.Errorf("found %q, %v", found, ok)
	}
	t.Setenv("SERVAL_SOCKET", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	if got := SocketPath(); got != "/run/user/7/serval/servald.sock" {
		t.Error(got)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if got := SocketPath(); !strings.HasSuffix(got, "/servald.sock") || !strings.Contains(got, "serval") {
		t.Error(got)
	}
}

// TestRestart: a daemon that is started again knows at once what is registered, long
// before the lease would be renewed.
func TestRestart(t *testing.T) {
	id, path := newIdentity(t), socket(t)
	stop := serve(t, path, newServer(id))
	c := newClient(t, path)
	reg := registrationOf(id)
	reg.TTL = resolver.MaxTTL
	lease, err := c.Register(ctx, reg)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		stop()
		next := newServer(id)
		news, ignore := next.Directory.(*resolver.Directory).Watch()
		stop = serve(t, path, next)
		select {
		case <-news:
		case <-time.After(reg.RenewEvery() / 2):
			t.Fatal("it is not registered again")
		}
		ignore()
		if found, err := c.Resolve(ctx, web); err != nil || len(found) != 1 {
			t.Errorf("found %v, %v", found, err)
		}
	}
	if err := lease.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Resolve(ctx, web); !errors.Is(err, resolver.ErrNoService) {
		t.Errorf("after: %v", err)
	}
}
