package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
)

// fakeNode is a node that has what it is told to have, and notes what it is asked.
type fakeNode struct {
	conns     []nodectl.Conn
	paths     []nodectl.Path
	rules     []nodectl.Rule
	routes    []nodectl.Route
	listeners []nodectl.Listener
	why       nodectl.Explanation
	events    chan nodectl.Event
	leaving   chan int // flows left in a drain; closed when none is

	mu    sync.Mutex
	asked []string
	count int // that steering concerns
	err   error
}

func (f *fakeNode) note(format string, args ...any) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.count, f.err
}

// said returns what it was asked since the last call.
func (f *fakeNode) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := strings.Join(f.asked, "; ")
	f.asked = nil
	return s
}

func selected(s nodectl.Selection) string {
	flow := ""
	if s.Flow != nil {
		flow = fmt.Sprintf("/%d", *s.Flow)
	}
	return s.Conn + flow + s.Service + s.Interface
}

func (f *fakeNode) Conns() []nodectl.Conn { return f.conns }
func (f *fakeNode) Paths() []nodectl.Path { return f.paths }

func (f *fakeNode) Migrate(_ context.Context, s nodectl.Selection, to nodectl.Target) (int, error) {
	return f.note("migrate %s to %v", selected(s), to)
}

func (f *fakeNode) SetPolicy(s nodectl.Selection, policy string) (int, error) {
	return f.note("policy %s %s", selected(s), policy)
}

func (f *fakeNode) Undrain(what string) error {
	_, err := f.note("undrain %s", what)
	return err
}

func (f *fakeNode) Drain(ctx context.Context, what string, progress func(int)) error {
	if _, err := f.note("drain %s", what); err != nil {
		return err
	}
	for {
		select {
		case n, ok := <-f.leaving:
			if !ok {
				return nil
			}
			progress(n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fakeNode) Events(ctx context.Context) <-chan nodectl.Event {
	out := make(chan nodectl.Event)
	go func() {
		defer close(out)
		for {
			select {
			case e := <-f.events:
				select {
				case out <- e:
				case <-ctx.Done():
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// host is a host with the processes of some nodes.
type host struct {
	t      *testing.T
	socket string
}

func newHost(t *testing.T) *host {
	dir, err := os.MkdirTemp("", "serval") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &host{t, filepath.Join(dir, "s")}
}

// process starts a node.
func (h *host) process(program string, f *fakeNode) {
	h.t.Helper()
	s, err := nodectl.Serve(nodectl.Dir(h.socket), nodectl.Info{Node: "me" + program, Program: program}, f)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { s.Close() })
}

// servald runs a command line to its end.
func (h *host) servald(args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = (&App{out: &o, err: &e}).run(h.t.Context(), append(args, "--socket", h.socket))
	return o.String(), e.String(), code
}

// plain is servald with nothing behind the arguments.
func (h *host) plain(args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = (&App{out: &o, err: &e}).run(h.t.Context(), args)
	return o.String(), e.String(), code
}

// testPID is the process of all nodes of a host.
var testPID = os.Getpid()

const (
	second      = nodectl.Duration(time.Second)
	millisecond = nodectl.Duration(time.Millisecond)
)

// twoProcesses are curl, which downloads over two paths, and nginx, which serves
// somebody else.
func twoProcesses(h *host) (curl, nginx *fakeNode) {
	ap := netip.MustParseAddrPort
	curl = &fakeNode{count: 2, conns: []nodectl.Conn{{
		ID: "3f9a1c02", Service: "svc:web", Peer: nodectl.Peer{Node: "k5x2mqpaabcdefgh", Name: "web1"}, Dialled: true, Policy: "aggregate",
		Age: 62 * second, StreamSent: 1200, StreamReceived: 3 << 30, LongestStall: 120 * millisecond,
		Flows: []nodectl.Flow{
			{Index: 0, State: "active", Local: ap("10.0.0.1:4242"), Remote: ap("10.0.1.1:7001"), Interface: "eth0", RTT: 20 * millisecond,
				MinRTT: 19 * millisecond, Rate: 11.8e6, BytesSent: 5 << 20, BytesReceived: 2 << 30, Age: 62 * second, MTU: 1472},
			{Index: 1, State: "suspect", Local: ap("[2001:db8::2]:4243"), Remote: ap("[2001:db8:1::1]:7001"), Interface: "wlan0", RTT: 161 * millisecond,
				Loss: 0.013, Rate: 2.5e6, BytesSent: 300, BytesReceived: 1 << 30, Age: 61 * second, Moves: 3, Cost: 255},
		},
	}}}
	nginx = &fakeNode{count: 1, conns: []nodectl.Conn{
		{ID: "3f9aaaaa", Service: "svc:shop/cart", Peer: nodectl.Peer{Node: "short"}, Policy: "failover", Age: second},
		{ID: "66666666", Service: "svc:web", Peer: nodectl.Peer{Node: "abcdefghijk"}, Policy: "aggregate", Flows: []nodectl.Flow{{State: "parked"}}},
		{ID: "77777777", Service: "svc:web", Peer: nodectl.Peer{Node: "abcdefghijk", Name: "evil\x1b[2J"}, Policy: "pinned:eth0", Age: second,
			Flows: []nodectl.Flow{{State: "active", Local: ap("10.0.0.1:9"), Remote: ap("10.0.2.2:9"), Interface: "eth0", RTT: millisecond, Rate: 100, Age: second}}},
	}}
	addr := netip.MustParseAddr
	curl.paths = []nodectl.Path{
		{Interface: "eth0", Local: addr("10.0.0.1"), Remote: addr("10.0.1.1"), Flows: 1, RTT: 20 * millisecond, Rate: 1e6, State: "suspect", Loss: 0.04},
		{Interface: "wlan0", Local: addr("2001:db8::2"), Remote: addr("2001:db8:1::1"), Flows: 1, RTT: 161 * millisecond, Rate: 2.5e6, State: "down"},
	}
	nginx.paths = []nodectl.Path{
		{Interface: "eth0", Local: addr("10.0.0.1"), Remote: addr("10.0.1.1"), Flows: 3, RTT: 19 * millisecond, Rate: 2e6, State: "active"},
	}
	h.process("curl", curl)
	h.process("nginx", nginx)
	return curl, nginx
}

// golden compares with a file; UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	pid := fmt.Sprint(os.Getpid())
	got = strings.NewReplacer("["+pid+"]", "[4711]", `"pid":`+pid, `"pid":4711`).Replace(got)
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s should be\n%s\nis\n%s\n%v", name, want, got, err)
	}
}

func TestFlowTables(t *testing.T) {
	h := newHost(t)
	for _, command := range []string{"flows", "paths"} {
		if out, errs, code := h.servald(command); out != "" || code != 0 || !strings.HasPrefix(errs, "no ") {
			t.Errorf("%s of nothing: %q, %q, code %d", command, out, errs, code)
		}
	}
	twoProcesses(h)
	for name, line := range map[string]string{
		"flows.txt": "flows", "flows-shop.txt": "flows --service shop/*", "flows.jsonl": "flows --json",
		"paths.txt": "paths", "paths.jsonl": "paths --json",
	} {
		out, errs, code := h.servald(strings.Fields(line)...)
		if errs != "" || code != 0 {
			t.Errorf("%s: %q, code %d", line, errs, code)
		}
		golden(t, name, out)
	}
}

// TestUnreadable: what cannot be seen is not nothing.
func TestUnreadable(t *testing.T) {
	h := newHost(t)
	twoProcesses(h)
	os.Chmod(nodectl.Dir(h.socket), 0o777)
	for _, line := range []string{"flows", "paths", "migrate iface eth0 --to eth1", "drain eth0"} {
		if out, errs, code := h.servald(strings.Fields(line)...); out != "" || code != exitFailure || !strings.Contains(errs, "others may write") {
			t.Errorf("%s: %q, %q, code %d", line, out, errs, code)
		}
	}
}

// TestHung: a process that does not answer hides no other, but an interface that it
// may still use is not free.
func TestHung(t *testing.T) {
	h := newHost(t)
	curl, nginx := twoProcesses(h)
	curl.leaving, nginx.leaving = closed(), closed()
	l, err := net.Listen("unix", filepath.Join(nodectl.Dir(h.socket), "4711-hung.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("SERVAL_SOCKET", h.socket)
	var asking sync.WaitGroup // together, as each waits for the one that hangs
	for _, c := range []struct {
		line, out, errs string
		code            int
	}{
		{"flows", "3f9a1c02/1", "process 4711 does not answer", 0},
		{"paths", "10.0.1.1", "process 4711 does not answer", 0},
		{"drain eth0", "", "process 4711 does not answer", exitTimeout},
		{"__complete migrate conn ", "3f9a1c02", "", 0},
	} {
		asking.Go(func() {
			var out, errs bytes.Buffer
			code := (&App{out: &out, err: &errs}).run(t.Context(), strings.Split(c.line, " "))
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
				t.Errorf("%s: %q, %q, code %d", c.line, &out, &errs, code)
			}
		})
	}
	asking.Wait()
}

func closed() chan int {
	c := make(chan int)
	close(c)
	return c
}

func TestFlowsWatch(t *testing.T) {
	h := newHost(t)
	twoProcesses(h)
	out := make(notes)
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int)
	go func() {
		defer close(out)
		code <- (&App{out: out, err: io.Discard}).run(ctx, []string{"flows", "--watch", "--interval", "1ms", "--socket", h.socket})
	}()
	for shown := 0; shown < 2; {
		if strings.HasPrefix(<-out, "FLOW ") {
			shown++
		}
	}
	cancel()
	for {
		select {
		case <-out:
		case got := <-code:
			if got != 0 {
				t.Errorf("it ends with %d", got)
			}
			return
		}
	}
}

func TestMigrate(t *testing.T) {
	h := newHost(t)
	curl, nginx := twoProcesses(h)
	for _, c := range []struct {
		line, out, curl, nginx string
		code                   int
	}{
		{"migrate conn 3f9a1c02 --to eth1", "moved 2 flows to eth1", "migrate 3f9a1c02 to eth1", "", 0},
		{"migrate conn 3f9a1 --to 10.0.0.2", "moved 2 flows to 10.0.0.2", "migrate 3f9a1c02 to 10.0.0.2", "", 0},
		{"migrate flow 3f9a1/1 --to eth1", "moved 2 flows to eth1", "migrate 3f9a1c02/1 to eth1", "", 0},
		{"migrate service web --to eth1 --json", `{"moved":3,"to":"eth1"}`, "migrate svc:web to eth1", "migrate svc:web to eth1", 0},
		{"migrate service svc:shop/* --to eth1", "moved 1 flow to eth1", "", "migrate svc:shop/* to eth1", 0},
		{"migrate iface eth0 --to eth1", "moved 3 flows to eth1", "migrate eth0 to eth1", "migrate eth0 to eth1", 0},
		{"policy conn 777 pinned:eth1", "1 connection: pinned:eth1", "", "policy 77777777 pinned:eth1", 0},
		{"policy service svc:web redundant --json", `{"changed":3,"policy":"redundant"}`, "policy svc:web redundant", "policy svc:web redundant", 0},

		{"migrate conn 3f9a --to eth1", "2 connections begin with", "", "", exitFailure},
		{"migrate conn zzz --to eth1", "no connection zzz", "", "", exitFailure},
		{"migrate flow 3f9a1c02/7 --to eth1", "has no flow 7", "", "", exitFailure},
		{"migrate service svc:none --to eth1", "no process of this host has a connection of svc:none", "", "", exitFailure},
		{"policy conn zzz failover", "no connection zzz", "", "", exitFailure},
		{"migrate", "say what", "", "", exitUsage},
		{"migrate everything --to eth1", "say what", "", "", exitUsage},
		{"migrate conn --to eth1", "accepts 1 arg", "", "", exitUsage},
		{"migrate conn 3f9a1c02", "say where to", "", "", exitUsage},
		{"migrate conn 3f9a1c02 --to a/b", "--to", "", "", exitUsage},
		{"migrate conn ../x --to eth1", "ID", "", "", exitUsage},
		{"migrate flow 3f9a1c02 --to eth1", "ID/INDEX", "", "", exitUsage},
		{"migrate flow 3f9a1c02/256 --to eth1", "ID/INDEX", "", "", exitUsage},
		{"migrate service a..b --to eth1", "a..b", "", "", exitUsage},
		{"migrate iface eth0 --to eth0", "another", "", "", exitUsage},
		{"policy", "say whose", "", "", exitUsage},
		{"policy conn 3f9a1c02 fast", "no policy", "", "", exitUsage},
		{"flows --service a..b", "a..b", "", "", exitUsage},
		{"flows --watch --interval 0", "interval", "", "", exitUsage},
		{"monitor --service a..b", "a..b", "", "", exitUsage},
		{"drain a/b", "interface", "", "", exitUsage},
		{"drain --undo", "name the interface", "", "", exitUsage},
	} {
		out, errs, code := h.servald(strings.Fields(c.line)...)
		text := out
		if c.code != 0 {
			text = errs
		}
		if code != c.code || !strings.Contains(text, c.out) {
			t.Errorf("%s: %q, %q, code %d", c.line, out, errs, code)
		}
		if got := curl.said(); got != c.curl {
			t.Errorf("%s: curl was asked %q, want %q", c.line, got, c.curl)
		}
		if got := nginx.said(); got != c.nginx {
			t.Errorf("%s: nginx was asked %q, want %q", c.line, got, c.nginx)
		}
	}
}

// TestMigrateFails: what was moved is told even where something failed, and by whom.
func TestMigrateFails(t *testing.T) {
	h := newHost(t)
	if _, errs, code := h.servald("migrate", "iface", "eth0", "--to", "eth1"); code != exitFailure || !strings.Contains(errs, "no process") {
		t.Errorf("without processes: %q, code %d", errs, code)
	}
	curl, nginx := twoProcesses(h)
	curl.err, curl.count = errors.New("eth1 has no\x1b address"), 0
	out, errs, code := h.servald("migrate", "service", "svc:web", "--to", "eth1")
	if out != "moved 1 flow to eth1\n" || !strings.Contains(errs, "(curl): eth1 has no? address") || code != exitFailure {
		t.Errorf("half: %q, %q, code %d", out, errs, code)
	}
	nginx.err, nginx.count = curl.err, 0
	if out, errs, code := h.servald("policy", "service", "svc:web", "failover"); out != "" || !strings.Contains(errs, "(nginx)") || code != exitFailure {
		t.Errorf("all: %q, %q, code %d", out, errs, code)
	}
}

func TestDrain(t *testing.T) {
	h := newHost(t)
	curl, nginx := twoProcesses(h)
	curl.leaving, nginx.leaving = make(chan int), make(chan int)
	go func() {
		curl.leaving <- 2
		nginx.leaving <- 3
		curl.leaving <- 0
		close(curl.leaving)
		close(nginx.leaving)
	}()
	out, errs, code := h.servald("drain", "eth0")
	if !strings.HasPrefix(out, "eth0 is free") || code != 0 || !strings.Contains(errs, "flows left on eth0\n") {
		t.Errorf("drain: %q, %q, code %d", out, errs, code)
	}
	if curl.said() != "drain eth0" || nginx.said() != "drain eth0" {
		t.Error("not all were asked")
	}
	if out, _, _ := h.servald("drain"); out != "eth0\n" {
		t.Errorf("drained: %q", out)
	}
	late := &fakeNode{leaving: curl.leaving}
	if h.process("late", late); late.said() != "drain eth0" {
		t.Error("a process that starts later does not know")
	}
	out, errs, code = h.servald("drain", "--undo", "eth0")
	if !strings.Contains(out, "again") || code != 0 {
		t.Errorf("undo: %q, %q, code %d", out, errs, code)
	}
	if curl.said() != "undrain eth0" || late.said() != "undrain eth0" {
		t.Error("not all were asked to undo")
	}
	if out, _, code := h.servald("drain"); out != "" || code != 0 {
		t.Errorf("drained still: %q, code %d", out, code)
	}
}

func TestDrainTimesOut(t *testing.T) {
	h := newHost(t)
	curl := &fakeNode{leaving: make(chan int, 1)}
	h.process("curl", curl)
	curl.leaving <- 2
	out, errs, code := h.servald("drain", "10.0.0.1", "--timeout", "1s", "--json")
	if out != `{"what":"10.0.0.1","left":2,"done":false}`+"\n" || code != exitTimeout || !strings.Contains(errs, "2 flows still on 10.0.0.1") {
		t.Errorf("drain: %q, %q, code %d", out, errs, code)
	}
	curl.err = errors.New("it is wired in")
	if out, errs, code := h.servald("drain", "10.0.0.1"); out != "" || code != exitFailure || !strings.Contains(errs, "wired in") {
		t.Errorf("refused: %q, %q, code %d", out, errs, code)
	}
}

// notes gives a writer whose lines can be waited for.
type notes chan string

func (n notes) Write(b []byte) (int, error) {
	n <- string(b)
	return len(b), nil
}

func TestMonitor(t *testing.T) {
	h := newHost(t)
	curl := &fakeNode{events: make(chan nodectl.Event)}
	h.process("curl", curl)
	out, errs := make(notes, 10), make(notes, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int)
	go func() {
		code <- (&App{out: out, err: errs}).run(ctx, []string{"monitor", "--service", "svc:web", "--socket", h.socket})
	}()
	if got := <-errs; got != "watching 1 process\n" {
		t.Errorf("it says %q", got)
	}
	at := time.Date(2026, 5, 4, 12, 3, 2, 1e6, time.Local)
	one := uint8(1)
	e := nodectl.Event{Time: at, Conn: "3f9a1c02", Service: "svc:web", Flow: &one, Kind: nodectl.Migrated, From: "eth0", To: "eth1"}
	other := e
	other.Service = "svc:other"
	curl.events <- other
	curl.events <- e
	if got, want := <-out, "12:03:02.001  migrated  3f9a1c02/1   svc:web  "+fmt.Sprintf("curl[%d]", os.Getpid())+"  eth0 -> eth1\n"; got != want {
		t.Errorf("it prints %q, want %q", got, want)
	}
	late := &fakeNode{events: make(chan nodectl.Event)}
	h.process("late", late) // one that it finds within a second
	late.events <- nodectl.Event{Time: at, Conn: "77777777", Service: "svc:web", Kind: nodectl.Closed, Detail: "reset\x1b"}
	if got := <-out; !strings.Contains(got, "closed    77777777     svc:web  late[") || !strings.HasSuffix(got, "  reset?\n") {
		t.Errorf("it prints %q", got)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("it ends with %d", got)
	}
}
