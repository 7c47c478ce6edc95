package nodectl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/unixsock"
)

// refusals are requests that must not reach the node, and a word of the answer.
var refusals = []struct{ path, body, word string }{
	{"migrate", ``, "JSON"},
	{"migrate", `[]`, "JSON"},
	{"migrate", `{"selection":`, "JSON"},
	{"migrate", `{}`, "nothing is selected"},
	{"migrate", `{"selection":{},"to":{"interface":"eth1"}}`, "nothing is selected"},
	{"migrate", `{"selection":{"flow":1},"to":{"interface":"eth1"}}`, "without its conn"},
	{"migrate", `{"selection":{"conn":"a","flow":256},"to":{"interface":"eth1"}}`, "JSON"},
	{"migrate", `{"selection":{"conn":"a","flow":-1},"to":{"interface":"eth1"}}`, "JSON"},
	{"migrate", `{"selection":{"conn":"../a"},"to":{"interface":"eth1"}}`, "ID"},
	{"migrate", `{"selection":{"conn":"` + strings.Repeat("a", 33) + `"},"to":{"interface":"eth1"}}`, "ID"},
	{"migrate", `{"selection":{"service":"a..b"},"to":{"interface":"eth1"}}`, "a..b"},
	{"migrate", `{"selection":{"interface":"a/b"},"to":{"interface":"eth1"}}`, "interface"},
	{"migrate", `{"selection":{"conn":"a"},"to":{}}`, "either"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"interface":"eth1","addr":"10.0.0.1"}}`, "either"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"interface":"\u001b[2J"}}`, "interface"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"interface":"` + strings.Repeat("e", 65) + `"}}`, "interface"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"addr":"eth1"}}`, "JSON"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"addr":"::"}}`, "no address"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"addr":"224.0.0.1"}}`, "no address"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"addr":"::ffff:10.0.0.1"}}`, "no address"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"addr":"fe80::1%\u001b[2J"}}`, "interface"},
	{"migrate", `{"selection":{"conn":"a","program":"b"},"to":{"interface":"eth1"}}`, "unknown field"},
	{"migrate", `{"selection":{"conn":"a"},"to":{"interface":"eth1"}}{}`, "goes on"},
	{"policy", `{"selection":{"conn":"a"},"policy":"fast"}`, "no policy"},
	{"policy", `{"selection":{"conn":"a"},"policy":"pinned:"}`, "interface"},
	{"policy", `{"selection":{"conn":"a"},"policy":"pinned"}`, "no policy"},
	{"policy", `{"selection":{},"policy":"failover"}`, "nothing is selected"},
	{"drain", `{}`, "interface"},
	{"drain", `{"what":"0.0.0.0"}`, "no address"},
	{"undrain", `{"what":"\n"}`, "interface"},
	{"undrain", `{"what":"` + strings.Repeat("e", maxBody) + `"}`, "longer than"},
	{"explode", `{}`, "there is no POST /v1/explode"},
}

func TestRefusals(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f)
	for _, r := range refusals {
		resp, err := c.http.Post("http://serval/v1/"+r.path, "application/json", strings.NewReader(r.body))
		if err != nil {
			t.Errorf("%s %.80s: %v", r.path, r.body, err)
			continue
		}
		var said failure
		err = json.NewDecoder(resp.Body).Decode(&said)
		resp.Body.Close()
		if err != nil || resp.StatusCode < 400 || resp.StatusCode >= 500 || !strings.Contains(said.Error, r.word) {
			t.Errorf("%s %.80s: %s, %q, %v", r.path, r.body, resp.Status, said.Error, err)
		}
	}
	if f.asked != nil {
		t.Errorf("the node was asked %v", f.asked)
	}
}

func TestTooManyStreams(t *testing.T) {
	c, _ := serve(t, &fake{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan struct{})
	for range maxStreams {
		go c.Events(ctx, func() { ready <- struct{}{} }, func(Event) {})
		<-ready
	}
	if err := c.Events(ctx, nil, func(Event) {}); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one more: %v", err)
	}
}

// impostor answers every request at a socket with the same.
func impostor(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	l, path, err := listen(runtimeDir(t))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: answer}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return newClient(path, os.Geteuid())
}

// TestBadAnswers: what comes from a process that is not what it should be is an
// error that names it.
func TestBadAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"not JSON": "hello\n", "cut short": `{"conns":[{"id":`, "of another kind": `{"conns":7}`, "a bad address": `{"conns":[{"flows":[{"local":"x"}]}]}`,
		"a bad duration": `{"conns":[{"age_s":"x"}]}`,
	} {
		c := impostor(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
		if _, err := c.Conns(t.Context()); err == nil || !strings.Contains(err.Error(), "not valid") {
			t.Errorf("conns, %s: %v", name, err)
		}
	}
	c := impostor(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })
	if err := c.Events(t.Context(), nil, func(Event) {}); err == nil || !strings.Contains(err.Error(), "not valid") {
		t.Errorf("events: %v", err)
	}
	if err := c.Drain(t.Context(), "eth0", func(int) {}); err == nil || !strings.Contains(err.Error(), "not valid") {
		t.Errorf("drain: %v", err)
	}
	endless := impostor(t, func(w http.ResponseWriter, _ *http.Request) {
		for b := bytes.Repeat([]byte("x"), 1<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	if err := endless.Events(t.Context(), nil, func(Event) {}); err == nil || !strings.Contains(err.Error(), "not valid") {
		t.Errorf("an endless event: %v", err)
	}
	broken := impostor(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusTeapot) })
	if _, err := broken.Conns(t.Context()); err == nil || !strings.Contains(err.Error(), "teapot") {
		t.Errorf("no error in an error: %v", err)
	}
}

// TestListOfHung: a process that was stopped does not hide the others.
func TestListOfHung(t *testing.T) {
	f := &fake{}
	good, _ := serve(t, f)
	l, hung, err := listen(filepath.Dir(good.Path()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	clients, err := List(ctx, filepath.Dir(hung))
	if len(clients) != 1 || clients[0].Path() != good.Path() || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%d clients, %v", len(clients), err)
	}
}

func TestSockets(t *testing.T) {
	dir := runtimeDir(t)
	if clients, err := List(t.Context(), dir); clients != nil || err != nil {
		t.Errorf("in no directory: %v, %v", clients, err)
	}
	s, err := Serve(dir, Info{}, &fake{})
	if err != nil {
		t.Fatal(err)
	}
	path := s.(*server).path
	for name, want := range map[string]os.FileMode{path: 0o600, dir: 0o700, filepath.Dir(dir): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	// What a process that was killed leaves, one as it came up, what cannot be
	// told, and what is none of ours.
	const freePID = "1073741824-" // above any process ID
	for _, name := range []string{freePID + "dead.sock", freePID + "old.sock.new", freePID + "young.sock.new", "1-pid1.sock"} {
		l, err := unixsock.Listen(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	os.Chtimes(filepath.Join(dir, freePID+"old.sock.new"), time.Time{}, time.Now().Add(-time.Hour))
	os.WriteFile(filepath.Join(dir, freePID+"file.sock"), nil, 0o600)
	os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600)
	kept := []string{"1-pid1.sock", freePID + "file.sock", freePID + "young.sock.new", filepath.Base(path), "notes"}
	slices.Sort(kept) // where ours comes depends on its process ID
	if sweep(dir); !slices.Equal(names(t, dir), kept) {
		t.Errorf("after sweeping: %v", names(t, dir))
	}
	if clients, err := List(t.Context(), dir); len(clients) != 1 || err != nil {
		t.Errorf("%d clients, %v", len(clients), err)
	}
	if got := strings.Join(names(t, dir), " "); strings.Contains(got, "pid1") {
		t.Errorf("after a list: %v", got)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket outlives its server")
	}
	os.Chmod(dir, 0o777)
	if _, err := Serve(dir, Info{}, &fake{}); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("in a directory of everybody: %v", err)
	}
	if _, err := List(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("in a directory of everybody: %v", err)
	}
	if _, err := Serve(filepath.Join(dir, strings.Repeat("long", 40)), Info{}, &fake{}); err == nil {
		t.Error("a path too long for a socket")
	}
}

// names lists a directory.
func names(t *testing.T, dir string) (list []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		s                  Selection
		id, service, iface string
		index              uint8
		want               bool
	}{
		{Selection{Conn: "a"}, "a", "svc:web", "eth0", 0, true},
		{Selection{Conn: "a"}, "ab", "svc:web", "eth0", 0, false},
		{Selection{Conn: "a", Flow: index(0)}, "a", "svc:web", "eth0", 0, true},
		{Selection{Conn: "a", Flow: index(0)}, "a", "svc:web", "eth0", 1, false},
		{Selection{Service: "svc:web"}, "a", "svc:web", "eth0", 0, true},
		{Selection{Service: "web"}, "a", "svc:web", "eth0", 0, true},
		{Selection{Service: "svc:shop/*"}, "a", "svc:shop/cart", "eth0", 0, true},
		{Selection{Service: "svc:shop/*"}, "a", "svc:web", "eth0", 0, false},
		{Selection{Service: "svc:shop/*"}, "a", "", "eth0", 0, false},
		{Selection{Interface: "eth0"}, "a", "svc:web", "eth0", 0, true},
		{Selection{Interface: "eth0"}, "a", "svc:web", "eth1", 0, false},
		{Selection{Service: "svc:web", Interface: "eth0"}, "a", "svc:x", "eth0", 0, false},
	} {
		if got := c.s.MatchConn(c.id, c.service) && c.s.MatchFlow(c.index, c.iface); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]Duration{"0.02": Duration(20 * time.Millisecond), "1e300": 1<<63 - 1, "-1e300": -1 << 63} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || d != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	if b, err := json.Marshal(Duration(1500 * time.Millisecond)); string(b) != "1.5" {
		t.Errorf("%s, %v", b, err)
	}
}

// FuzzRequests: what is accepted is well formed, and means the same when it is
// encoded again.
func FuzzRequests(f *testing.F) {
	for _, r := range refusals {
		f.Add([]byte(r.body))
	}
	f.Add([]byte(`{"selection":{"conn":"a","flow":3,"service":"svc:web","interface":"eth0"},"to":{"addr":"fe80::1%eth0"}}`))
	f.Add([]byte(`{"selection":{"service":"svc:shop/*"},"policy":"pinned:eth0"}`))
	f.Add([]byte(`{"what":"10.0.0.1"}`))
	f.Add([]byte(`{"service":"svc:web","action":"DELAY","hook":{"command":["a","b"]},"timeout_s":1,"ttl_s":1e9,"keys":["8/1"],"next":["[::1]:1"]}`))
	f.Add([]byte(`{"service":"svc:web","weight":3,"priority":-3,"balance":"hash","keys":["0/2"]}`))
	f.Add([]byte(`{"service":"svc:web","key":"k","balance":"nearest"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decode[migrateRequest](b); err == nil {
			again[migrateRequest](t, m)
			if m.Selection == (Selection{}) {
				t.Fatalf("%q selects everything", b)
			}
			if to, err := ParseTarget(m.To.String()); err != nil || to != m.To {
				t.Fatalf("%q: target %v is read as %v, %v", b, m.To, to, err)
			}
		}
		if p, err := decode[policyRequest](b); err == nil {
			again[policyRequest](t, p)
		}
		if d, err := decode[drainRequest](b); err == nil {
			again[drainRequest](t, d)
		}
		if r, err := decode[Rule](b); err == nil {
			again[Rule](t, r)
			if r.Action == Delay && r.Hook == nil {
				t.Fatalf("%q delays without a hook", b)
			}
		}
		if s, err := decode[RuleSelection](b); err == nil {
			again[RuleSelection](t, s)
		}
		if s, err := decode[Setting](b); err == nil {
			again[Setting](t, s)
		}
		if s, err := decode[serviceRequest](b); err == nil {
			again[serviceRequest](t, s)
		}
		if q, err := decode[Question](b); err == nil {
			again[Question](t, q)
		}
	})
}

func again[T interface{ check() error }](t *testing.T, req T) {
	b, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	second, err := decode[T](b)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if c, _ := json.Marshal(second); !bytes.Equal(b, c) {
		t.Fatalf("%s became %s", b, c)
	}
}
