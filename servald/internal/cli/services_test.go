package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
)

func (f *fakeNode) Routes(service string, limit int) ([]nodectl.Route, int) {
	f.note("routes %s %d", service, limit)
	return f.routes[:min(limit, len(f.routes))], len(f.routes)
}

func (f *fakeNode) Listeners() []nodectl.Listener { return f.listeners }

func (f *fakeNode) SetListeners(_ context.Context, s nodectl.Setting) (int, error) {
	set := ""
	if s.Weight != nil {
		set += fmt.Sprint(" weight=", *s.Weight)
	}
	if s.Priority != nil {
		set += fmt.Sprint(" priority=", *s.Priority)
	}
	if s.Balance != nil {
		set += " balance=" + *s.Balance
	}
	if s.Keys != nil {
		set += fmt.Sprint(" keys=", *s.Keys)
	}
	return f.note("set %s%s", s.Service, set)
}

func (f *fakeNode) DrainService(ctx context.Context, d nodectl.ServiceDrain, progress func(int)) (m nodectl.Moved, err error) {
	if d.Move {
		f.note("move after %v", time.Duration(d.Grace))
		m = nodectl.Moved{Idle: 4, Busy: 1}
	}
	return m, f.Drain(ctx, "service "+d.Service, progress)
}

func (f *fakeNode) UndrainService(_ context.Context, service string) (int, error) {
	return f.note("undrain service %s", service)
}

// servingHost has two processes that serve.
func servingHost(t *testing.T) (h *host, web, cache *fakeNode) {
	h = newHost(t)
	web = &fakeNode{count: 1, listeners: []nodectl.Listener{{Service: "svc:web", Weight: 3, Priority: -1, Load: 0.25, Connections: 12, Waiting: 1, Packets: 4711}}}
	cache = &fakeNode{count: 2, listeners: []nodectl.Listener{
		{Service: "svc:cache", Weight: 1, Keys: []sal.KeyPrefix{{Key: 1 << 63, Bits: 1}}, Balance: "hash", Withdrawn: true},
		{Service: "svc:web", Datagram: true, Weight: 1},
	}}
	next := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4000")}
	web.routes = []nodectl.Route{
		{Prefix: "01ab/192", Service: "svc:web", Origin: nodectl.ByListener, Rule: nodectl.Rule{Action: nodectl.Demux, Priority: 1, Weight: 1, Packets: 4711}},
		{Prefix: "01cd/192", Origin: nodectl.ByResolver, Rule: nodectl.Rule{Action: nodectl.Forward, Weight: 2, Next: next}},
		{Prefix: "/0", Service: "svc:*", Origin: nodectl.ByHand, Rule: nodectl.Rule{ID: 1, Action: nodectl.Drop, Weight: 1, TTL: second}},
	}
	h.process("bbbb", web)
	h.process("aaaa", cache)
	return h, web, cache
}

// squeeze makes one blank of many: columns are as wide as process IDs want.
func squeeze(table string) string {
	lines := strings.Split(table, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestServicesHere(t *testing.T) {
	h, _, _ := servingHost(t)
	out, errs, code := h.servald("services", "--here")
	if code != 0 || errs != "" {
		t.Errorf("%s, code %d", errs, code)
	}
	golden(t, "here", squeeze(out))
	out, _, _ = h.servald("services", "--here", "svc:cache", "--json")
	golden(t, "here.json", out)
	if _, errs, code := h.servald("services", "--here", "svc:db"); code != 0 || !strings.HasPrefix(errs, "no process") {
		t.Errorf("%s, code %d", errs, code)
	}
}

func TestRoutes(t *testing.T) {
	h, web, _ := servingHost(t)
	out, errs, code := h.servald("routes")
	if got := web.said(); code != 0 || errs != "" || got != "routes  1000" {
		t.Errorf("%s, code %d, asked %s", errs, code, got)
	}
	golden(t, "routes", squeeze(out))
	out, errs, _ = h.servald("routes", "web", "--json", "-n", "1")
	golden(t, "routes.json", out)
	if got := web.said(); got != "routes svc:web 1" || !strings.Contains(errs, "2 more") {
		t.Errorf("asked %s, %s", got, errs)
	}
	for _, bad := range [][]string{{"routes", ".."}, {"routes", "-n", "0"}, {"routes", "a", "b"}} {
		if _, _, code := h.servald(bad...); code != exitUsage {
			t.Errorf("%v: code %d", bad, code)
		}
	}
}

func TestSet(t *testing.T) {
	h, web, cache := servingHost(t)
	out, errs, code := h.servald("set", "svc:web", "--weight", "3", "--priority", "-2")
	if code != 0 || out != "changed 3 instances\n" {
		t.Errorf("%q, %s, code %d", out, errs, code)
	}
	for _, f := range []*fakeNode{web, cache} {
		if got := f.said(); got != "set svc:web weight=3 priority=-2" {
			t.Errorf("asked %q", got)
		}
	}
	out, _, code = h.servald("set", "svc:cache", "--balance", "nearest", "--keys", "0/1,8/2", "--json")
	if got := cache.said(); code != 0 || got != "set svc:cache balance=nearest keys=[0/1 8/2]" || out != `{"changed":2}`+"\n" {
		t.Errorf("asked %q, printed %q, code %d", got, out, code)
	}
	for line, want := range map[string]int{
		"set svc:web": exitUsage, "set": exitUsage, "set svc:web --weight 0": exitUsage, "set svc:web --balance no": exitUsage, "set .. --weight 1": exitUsage,
		"set svc:web#! --weight 1": exitUsage, "set svc:web --keys x": exitUsage, "set svc:db --weight 1": exitFailure, "set svc:web#zzzz --weight 1": exitFailure,
	} {
		if _, errs, code := h.servald(strings.Fields(line)...); code != want {
			t.Errorf("%s: code %d, %s", line, code, errs)
		}
	}
	if got := web.said() + cache.said(); got != "" {
		t.Errorf("asked %q", got)
	}
	out, _, _ = h.plain("__complete", "set", "--socket", h.socket, "")
	if !strings.Contains(out, "svc:cache\nsvc:cache#meaaaa\nsvc:web\n") {
		t.Errorf("completions %q", out)
	}
}

func TestDrainInstances(t *testing.T) {
	h, web, cache := servingHost(t)
	web.leaving = make(chan int, 2)
	web.leaving <- 2
	web.leaving <- 1
	close(web.leaving)
	out, errs, code := h.servald("drain", "svc:web#mebb")
	if code != 0 || !strings.HasPrefix(out, "svc:web#mebb is drained") || !strings.Contains(errs, "1 connection left on svc:web#mebb") {
		t.Errorf("%q, %q, code %d", out, errs, code)
	}
	if got := web.said() + cache.said(); got != "drain service svc:web" {
		t.Errorf("asked %q", got)
	}
	if out, _, code := h.servald("drain", "--undo", "svc:cache"); code != 0 || !strings.HasPrefix(out, "2 instances") {
		t.Errorf("%q, code %d", out, code)
	}
	if got := cache.said(); got != "undrain service svc:cache" {
		t.Errorf("asked %q", got)
	}
	if out, _, _ := h.servald("drain"); out != "svc:cache#meaaaa\n" {
		t.Errorf("what is drained: %q", out)
	}
	stuck := make(chan int, 1)
	stuck <- 3
	web.leaving = stuck
	if _, errs, code := h.servald("drain", "#mebb", "-t", "100ms", "--json"); code != exitTimeout || !strings.Contains(errs, "3 connections still open") {
		t.Errorf("a drain that takes too long: %s, code %d", errs, code)
	}
	for line, want := range map[string]int{"drain svc:db": exitFailure, "drain #abcd": exitFailure, "drain svc:..": exitUsage, "drain #": exitUsage} {
		if _, errs, code := h.servald(strings.Fields(line)...); code != want {
			t.Errorf("%s: code %d, %s", line, code, errs)
		}
	}
}

// TestDrainMoves: drain --move says what it ended, and refuses what makes no sense.
func TestDrainMoves(t *testing.T) {
	h, web, cache := servingHost(t)
	for _, n := range []*fakeNode{web, cache} {
		n.leaving = make(chan int)
		close(n.leaving)
	}
	out, errs, code := h.servald("drain", "svc:web", "--move", "--grace", "3s")
	if code != 0 || !strings.HasPrefix(out, "ended 8 idle connections for their clients to dial again, and after 3s 2 connections in the middle of something\nsvc:web is drained") {
		t.Errorf("%q, %q, code %d", out, errs, code)
	}
	for _, n := range []*fakeNode{web, cache} {
		if got := n.said(); got != "move after 3s; drain service svc:web" {
			t.Errorf("asked %q", got)
		}
	}
	out, _, code = h.servald("drain", "#mebb", "--move", "--json")
	if want := `{"what":"#mebb","left":0,"done":true,"ended_idle":4,"ended_busy":1}` + "\n"; code != 0 || out != want {
		t.Errorf("%q, code %d, want %q", out, code, want)
	}
	for line, want := range map[string]string{
		"drain svc:web --grace 1s": "--grace is for --move", "drain eth0 --move": "instances of services",
		"drain svc:web --move --undo": "cannot be undone", "drain svc:web --move --grace -1s": "grace",
	} {
		if _, errs, code := h.servald(strings.Fields(line)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, %s", line, code, errs)
		}
	}
	for want, m := range map[string]nodectl.Moved{
		"no connection had": {}, "ended 1 idle connection for": {Idle: 1}, "ended 2 connections for": {Busy: 2},
	} {
		if got := saidOfMove(m, time.Second); !strings.Contains(got, want) {
			t.Errorf("%+v: %q does not say %q", m, got, want)
		}
	}
}
