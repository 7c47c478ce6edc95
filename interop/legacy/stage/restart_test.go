//go:build linux

package stage_test

import (
	"testing"
	"time"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// TestDaemonsKilled: servald run is killed on both hosts, and started again. Open
// connections do not notice, registrations survive, and new connections work.
func TestDaemonsKilled(t *testing.T) {
	s, ctx := open(t)
	server, _ := offered(t, ctx, s)
	at := forwards(t, ctx, s)
	open := talk(s.Client, at, 60)
	if _, err := server.Expect(ctx, "^opened"); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*fleet.Host{s.Client, s.Server} {
		h.Daemon().Kill()
		time.Sleep(500 * time.Millisecond)
		if err := h.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Known(ctx, "svc:echo", 1); err != nil {
		t.Error(err)
	}
	says(t, s.Client, at, 3)
	if err := <-open; err != nil {
		t.Errorf("a connection that was open before: %v", err)
	}
}

// TestServeKilled: the clients of a servald serve that was killed are told soon, and
// one that is started again takes over.
func TestServeKilled(t *testing.T) {
	s, ctx := open(t)
	server, instance := offered(t, ctx, s)
	at := forwards(t, ctx, s)
	open := talk(s.Client, at, 1000)
	if _, err := server.Expect(ctx, "^opened"); err != nil {
		t.Fatal(err)
	}
	instance.Kill()
	breaks(t, open)
	offer(t, ctx, s, "127.0.0.1:7")
	says(t, s.Client, at, 3)
}

// TestForwardKilled: the server of a client whose servald forward was killed is told
// soon that nobody is there.
func TestForwardKilled(t *testing.T) {
	s, ctx := open(t)
	server, _ := offered(t, ctx, s)
	forward, at, err := s.StartForward(ctx, "127.0.0.1:0", "svc:echo")
	if err != nil {
		t.Fatal(err)
	}
	open := talk(s.Client, at, 1000)
	if _, err := server.Expect(ctx, "^opened"); err != nil {
		t.Fatal(err)
	}
	forward.Kill()
	breaks(t, open)
	if _, err := server.ExpectWithin(ctx, 30*time.Second, "^closed"); err != nil {
		t.Error(err)
	}
}

// TestKilledWithTUN: what servald did to the host is undone at its next start, or by
// the kernel, when it is killed.
func TestKilledWithTUN(t *testing.T) {
	s, ctx := open(t)
	state := func() string {
		out, err := stage.Run(ctx, s.Client, nil, "/bin/sh", "-c", "cat /etc/resolv.conf; ip -o link | cut -d: -f2; ip -4 route; ip -6 route; nft list ruleset 2>/dev/null || true")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := state()
	if err := s.Enable(ctx, stage.TUN); err != nil {
		t.Fatal(err)
	}
	if state() == before {
		t.Fatal("nothing changed")
	}
	s.Client.Daemon().Kill()
	if err := s.Configure(ctx, ""); err == nil {
		t.Error("a servald that was killed took a configuration")
	}
	if err := s.Client.Restart(); err != nil {
		t.Fatal(err)
	}
	if after := state(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestToldThroughTUN: programs whose connections went through a TUN are told when its
// servald has ended, whether it was asked to or killed.
func TestToldThroughTUN(t *testing.T) {
	for name, end := range map[string]func(*fleet.Process){
		"stopped": func(p *fleet.Process) { p.Stop() },
		"killed":  (*fleet.Process).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			s, ctx := open(t)
			server, _ := offered(t, ctx, s)
			if err := s.Configure(ctx, "[node]\ndrain = \"1s\"\n[tun]\n[dns]\nresolv_conf = \"file\"\n"); err != nil {
				t.Fatal(err)
			}
			open := talk(s.Client, "echo.svc.serval:7", 400)
			if _, err := server.Expect(ctx, "^opened"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
			end(s.Client.Daemon())
			if err := s.Client.Restart(); err != nil {
				t.Fatal(err)
			}
			breaks(t, open)
			if _, err := server.ExpectWithin(ctx, 30*time.Second, "^closed"); err != nil {
				t.Error(err)
			}
			says(t, s.Client, "echo.svc.serval:7", 3)
		})
	}
}
