package nodectl

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a node that has what it is told to have, and notes what it is asked.
type fake struct {
	conns     []Conn
	paths     []Path
	rules     []Rule
	routes    []Route
	listeners []Listener
	why       Explanation
	events    chan Event
	leaving   chan int // flows left during a drain; closed when none is

	mu    sync.Mutex
	asked []any
	err   error
}

func (f *fake) note(what ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what...)
	return f.err
}

func (f *fake) Conns() []Conn { return f.conns }
func (f *fake) Paths() []Path { return f.paths }

func (f *fake) Migrate(_ context.Context, s Selection, to Target) (int, error) {
	return 2, f.note("migrate", s, to)
}

func (f *fake) SetPolicy(s Selection, policy string) (int, error) {
	return 3, f.note("policy", s, policy)
}

func (f *fake) Undrain(what string) error { return f.note("undrain", what) }

func (f *fake) Drain(ctx context.Context, what string, progress func(int)) error {
	if err := f.note("drain", what); err != nil {
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
			f.note("drain ended")
			return ctx.Err()
		}
	}
}

func (f *fake) Events(ctx context.Context) <-chan Event {
	out := make(chan Event)
	go func() {
		defer close(out)
		for {
			select {
			case e := <-f.events:
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func index(i uint8) *uint8 { return &i }

// runtimeDir is short, since paths of sockets are.
func runtimeDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "serval")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Dir(filepath.Join(dir, "servald.sock"))
}

// serve runs a server for the node and returns a client of it.
func serve(t testing.TB, f *fake) (*Client, io.Closer) {
	t.Helper()
	dir := runtimeDir(t)
	s, err := Serve(dir, Info{Node: "k5x2mqpa", Name: "web1"}, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	clients, err := List(t.Context(), dir)
	if err != nil || len(clients) != 1 {
		t.Fatalf("%d clients, %v", len(clients), err)
	}
	return clients[0], s
}

var someConns = []Conn{{
	ID: "3f9a1c02", Service: "svc:web", Peer: Peer{"abcd", "web2"}, Dialled: true, Policy: "aggregate",
	Age: Duration(time.Minute), StreamSent: 1, StreamReceived: 2, LongestStall: Duration(120 * time.Millisecond),
	Flows: []Flow{{
		Index: 1, State: "active", Local: netip.MustParseAddrPort("10.0.0.1:4242"), Remote: netip.MustParseAddrPort("[2001:db8::1]:7001"),
		Interface: "eth0", RTT: Duration(20 * time.Millisecond), MinRTT: Duration(19 * time.Millisecond), Loss: 0.01, Rate: 12e6,
		Cwnd: 250000, InFlight: 1000, MTU: 1472, Cost: 3, BytesSent: 5, BytesReceived: 6, Age: Duration(time.Second), Moves: 7,
	}},
}}

func TestShow(t *testing.T) {
	f := &fake{conns: someConns, paths: []Path{{Interface: "eth0", Local: netip.MustParseAddr("10.0.0.1"),
		Remote: netip.MustParseAddr("10.0.1.1"), Flows: 2, RTT: Duration(time.Millisecond), Loss: 0.5, Rate: 1, State: "active"}}}
	c, _ := serve(t, f)
	if c.Node != "k5x2mqpa" || c.Name != "web1" || c.PID != os.Getpid() || c.Program == "" || c.Started.IsZero() {
		t.Errorf("node %+v", c.Info)
	}
	if got, err := c.Conns(t.Context()); err != nil || !reflect.DeepEqual(got, f.conns) {
		t.Errorf("conns %+v, %v", got, err)
	}
	if got, err := c.Paths(t.Context()); err != nil || !reflect.DeepEqual(got, f.paths) {
		t.Errorf("paths %+v, %v", got, err)
	}
}

func TestSteer(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f)
	s := Selection{Conn: "3f9a1c02", Flow: index(0), Service: "svc:web", Interface: "eth0"}
	for name, to := range map[string]Target{"eth1": {Interface: "eth1"}, "10.0.0.2": {Addr: netip.MustParseAddr("10.0.0.2")}} {
		f.asked = nil
		if n, err := c.Migrate(t.Context(), s, to); n != 2 || err != nil || to.String() != name {
			t.Errorf("moved %d to %v, %v", n, to, err)
		}
		if want := []any{"migrate", s, to}; !reflect.DeepEqual(f.asked, want) {
			t.Errorf("asked %v, want %v", f.asked, want)
		}
	}
	f.asked = nil
	if n, err := c.SetPolicy(t.Context(), Selection{Service: "svc:web"}, "pinned:eth1"); n != 3 || err != nil {
		t.Errorf("changed %d, %v", n, err)
	}
	if err := c.Undrain(t.Context(), "eth0"); err != nil {
		t.Error(err)
	}
	if want := []any{"policy", Selection{Service: "svc:web"}, "pinned:eth1", "undrain", "eth0"}; !reflect.DeepEqual(f.asked, want) {
		t.Errorf("asked %v, want %v", f.asked, want)
	}
	f.err = errors.New("eth1 has no address")
	_, err := c.Migrate(t.Context(), s, Target{Interface: "eth1"})
	if said := new(Error); !errors.As(err, &said) || said.Text != "eth1 has no address" || !strings.Contains(err.Error(), "process ") {
		t.Errorf("a refusal: %v", err)
	}
}

func TestDrain(t *testing.T) {
	f := &fake{leaving: make(chan int)}
	c, _ := serve(t, f)
	var seen []int
	go func() {
		f.leaving <- 2
		f.leaving <- 1
		close(f.leaving)
	}()
	if err := c.Drain(t.Context(), "eth0", func(left int) { seen = append(seen, left) }); err != nil || !reflect.DeepEqual(seen, []int{2, 1, 0}) {
		t.Errorf("left %v, %v", seen, err)
	}
	f.err = errors.New("no")
	if err := c.Drain(t.Context(), "eth0", func(int) {}); err == nil || !strings.Contains(err.Error(), ": no") {
		t.Errorf("refused: %v", err)
	}
}

// TestDrainEnds: the client's patience ends the node's work, and a node that
// closes has no flows.
func TestDrainEnds(t *testing.T) {
	f := &fake{leaving: make(chan int)}
	c, s := serve(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { f.leaving <- 2 }()
	if err := c.Drain(ctx, "eth0", func(int) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for ended := false; !ended; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		ended = f.asked[len(f.asked)-1] == "drain ended"
		f.mu.Unlock()
	}
	go func() { f.leaving <- 2 }()
	left := -1
	err := c.Drain(t.Context(), "eth0", func(n int) {
		if left = n; n == 2 {
			go s.Close()
		}
	})
	if err != nil || left != 0 {
		t.Errorf("of a node that closes: %d left, %v", left, err)
	}
}

func TestEvents(t *testing.T) {
	f := &fake{events: make(chan Event)}
	c, s := serve(t, f)
	want := Event{Time: time.Now().UTC().Round(0), Node: "k5x2mqpa", Conn: "3f9a1c02", Service: "svc:web", Flow: index(1), Kind: Migrated, Detail: "x", From: "a", To: "b"}
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan struct{})
	go func() {
		<-ready
		sent := want
		sent.Node = "" // the server knows
		f.events <- sent
	}()
	var got Event
	err := c.Events(ctx, func() { close(ready) }, func(e Event) {
		got = e
		cancel()
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := c.Events(t.Context(), func() { s.Close() }, func(Event) {}); err != io.EOF {
		t.Errorf("of a node that closes: %v", err)
	}
}

// TestMarks: a node that starts while something is drained avoids it at once.
func TestMarks(t *testing.T) {
	dir := runtimeDir(t)
	for _, what := range []string{"eth0", "fe80::1%eth1", "Ethernet 2"} {
		if err := Mark(dir, what, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := Mark(dir, "a/b", true); err == nil {
		t.Error("a path is marked")
	}
	os.WriteFile(filepath.Join(dir, drainedDir, "%zz"), nil, 0o600) // no mark
	f := &fake{leaving: make(chan int)}
	close(f.leaving)
	s, err := Serve(dir, Info{}, f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if want := []any{"drain", "Ethernet 2", "drain", "eth0", "drain", "fe80::1%eth1"}; !reflect.DeepEqual(f.asked, want) {
		t.Errorf("asked %v, want %v", f.asked, want)
	}
	for range 2 {
		for _, what := range Marks(dir) {
			if err := Mark(dir, what, false); err != nil {
				t.Error(err)
			}
		}
	}
	if left := Marks(dir); left != nil {
		t.Errorf("left %v", left)
	}
}
