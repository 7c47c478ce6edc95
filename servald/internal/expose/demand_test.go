//go:build unix

package expose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

// onDemand is a server that the test program itself becomes, at a free port, and the
// file where it says what happens.
func onDemand(t *testing.T, kind string) (c Config, notes string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ln := conntest.Listen(t)
	addr := ln.Addr().String()
	ln.Close()
	notes = filepath.Join(t.TempDir(), "notes")
	c = Config{Name: "svc:lazy", To: addr, Command: []string{self}, OnDemand: true, Env: []string{fmt.Sprintf("%s=%s,%s,%s", actAs, kind, addr, notes)}}
	if kind == "udp" {
		c.To = "udp:" + addr
	}
	return c, notes
}

// TestOnDemand: the server is started by the first who dials, once for all who dial
// at the same time, who wait until it listens; it ends when nobody uses it, and is
// started again.
func TestOnDemand(t *testing.T) {
	w := newWorld(t)
	c, notes := onDemand(t, "tcp")
	c.IdleStop = 500 * time.Millisecond
	s := &Server{Config: c}
	w.serve(s)
	if got := lines(notes); len(got) > 0 {
		t.Errorf("it was started for nobody: %q", got)
	}
	for round := 1; round <= 2; round++ {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if got, err := w.ask("svc:lazy", 0, fmt.Sprint("hello ", i)); got != fmt.Sprint("hello ", i) || err != nil {
					t.Errorf("it answers %q, %v", got, err)
				}
			})
		}
		wg.Wait()
		want := slices.Repeat([]string{"started", "ended"}, round)
		t.Log(lines(notes))
		eventually(t, "it has ended", func() bool { return len(lines(notes)) >= len(want) })
		if got := lines(notes); !slices.Equal(got, want) {
			t.Errorf("round %d: it noted %q", round, got)
		}
	}
}

// TestOnDemandWhileStopping: who dials while the server is being stopped is served by
// the next one.
func TestOnDemandWhileStopping(t *testing.T) {
	w := newWorld(t)
	c, notes := onDemand(t, "tcp")
	c.IdleStop = time.Nanosecond
	w.serve(&Server{Config: c})
	for i := range 4 {
		if got, err := w.ask("svc:lazy", 0, "hello"); got != "hello" || err != nil {
			t.Errorf("call %d: it answers %q, %v; it noted %q", i, got, err, lines(notes))
		}
	}
}

// TestOnDemandInUse: a server is not stopped while a connection is open, and ends with
// Run, after its connections.
func TestOnDemandInUse(t *testing.T) {
	w := newWorld(t)
	c, notes := onDemand(t, "tcp")
	c.IdleStop, c.Drain = time.Nanosecond, time.Minute
	s := &Server{Config: c}
	stop := w.serve(s)
	conn := w.dial("tcp", "svc:lazy", 0)
	for _, text := range []string{"one", "two"} {
		conn.Write([]byte(text))
		got := make([]byte, 3)
		if _, err := conn.Read(got); err != nil || string(got) != text {
			t.Fatalf("it answers %q, %v", got, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	eventually(t, "it drains", func() bool { return s.Status().State == Ending })
	conn.Write([]byte("end"))
	got := make([]byte, 3)
	if _, err := conn.Read(got); err != nil || string(got) != "end" {
		t.Errorf("while it drains it answers %q, %v", got, err)
	}
	conn.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := lines(notes); !slices.Equal(got, []string{"started", "ended"}) {
		t.Errorf("it noted %q", got)
	}
}

func TestDatagramsOnDemand(t *testing.T) {
	w := newWorld(t)
	c, notes := onDemand(t, "udp")
	w.serve(&Server{Config: c})
	if got, _ := w.say(w.dial("udp", "svc:lazy", 69), "hello", 0); got != "hello" {
		t.Errorf("it answers %q", got)
	}
	if got := lines(notes); !slices.Equal(got, []string{"started"}) {
		t.Errorf("it noted %q", got)
	}
}

// TestOnDemandFails: servers that end at once, or never listen, or cannot be started,
// fail those who dial, and are not started again and again.
func TestOnDemandFails(t *testing.T) {
	w := newWorld(t)
	c, notes := onDemand(t, "fails")
	c.StartTimeout = time.Second
	s := &Server{Config: c}
	w.serve(s)
	for range 3 {
		if got, err := w.ask("svc:lazy", 0, "hello"); !errors.Is(err, serval.ErrReset) {
			t.Errorf("it answers %q, %v", got, err)
		}
	}
	if n := len(lines(notes)); n < 1 || n > 4 {
		t.Errorf("it was started %d times", n)
	}
	eventually(t, "all failures are counted", func() bool { return s.Status().Failed == 3 })
	deaf, _ := onDemand(t, "deaf")
	deaf.Name, deaf.StartTimeout = "svc:deaf", 300*time.Millisecond
	w.serve(&Server{Config: deaf})
	if got, err := w.ask("svc:deaf", 0, "hello"); !errors.Is(err, serval.ErrReset) {
		t.Errorf("it answers %q, %v", got, err)
	}
}

// TestDemandReplaced: after a change of the command, the next server is started by it,
// and the old one ends with its last user.
func TestDemandReplaced(t *testing.T) {
	w := newWorld(t)
	c, notes := onDemand(t, "tcp")
	s := &Server{Config: c}
	w.serve(s)
	if got, err := w.ask("svc:lazy", 0, "hello"); got != "hello" || err != nil {
		t.Fatalf("it answers %q, %v", got, err)
	}
	c.Env = append(c.Env, "OTHER=1")
	if err := s.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old one has ended", func() bool { return slices.Contains(lines(notes), "ended") })
	if got, err := w.ask("svc:lazy", 0, "again"); got != "again" || err != nil {
		t.Errorf("it answers %q, %v", got, err)
	}
}

// TestDemandTellsWhy: errors of await say what the operator must know.
func TestDemandTellsWhy(t *testing.T) {
	for text, want := range map[string]string{"exit 3": "exit status 3", "exit 0": "by itself", "exec sleep 60": "does not listen"} {
		p, err := Config{Name: "svc:x", To: "127.0.0.1:1", OnDemand: true, Command: []string{"sh", "-c", text}, StartTimeout: 200 * time.Millisecond}.parse()
		if err != nil {
			t.Fatal(err)
		}
		d := demand{log: quietLog()}
		err = d.await(t.Context(), p, func(context.Context) error { return errors.New("nobody there") })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		d.close()
	}
}
