package nodectl

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

func (f *fake) Routes(service string, limit int) ([]Route, int) {
	f.note("routes", service, limit)
	return f.routes[:min(limit, len(f.routes))], len(f.routes)
}

func (f *fake) Listeners() []Listener { return f.listeners }

func (f *fake) SetListeners(_ context.Context, s Setting) (int, error) { return 6, f.note("set", s) }

func (f *fake) DrainService(ctx context.Context, d ServiceDrain, progress func(int)) (m Moved, err error) {
	if d.Move {
		m = Moved{Idle: 2, Busy: int(time.Duration(d.Grace).Seconds())}
	}
	return m, f.Drain(ctx, "service "+d.Service, progress)
}

func (f *fake) UndrainService(_ context.Context, service string) (int, error) {
	return 7, f.note("undrain", service)
}

func TestServices(t *testing.T) {
	f := &fake{
		routes: []Route{
			{Prefix: "01ab/16", Service: "svc:web", Origin: ByHand, Rule: someRules[3]},
			{Prefix: "/0", Origin: ByResolver, Rule: Rule{Action: Forward, Next: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}}},
		},
		listeners: []Listener{{Service: "svc:web", Datagram: true, Weight: 2, Priority: -1, Balance: "hash", Keys: []sal.KeyPrefix{{Bits: 1}},
			Load: 0.5, Connections: 3, Waiting: 1, Packets: 9, Withdrawn: true}},
	}
	f.routes[0].Rule.Service = "" // that of the route counts
	c, _ := serve(t, f)
	got, total, err := c.Routes(t.Context(), "svc:web", 1)
	if err != nil || total != 2 || !reflect.DeepEqual(got, f.routes[:1]) {
		t.Errorf("routes %+v of %d, %v", got, total, err)
	}
	if got, _, err := c.Routes(t.Context(), "", 0); err != nil || !reflect.DeepEqual(got, f.routes) {
		t.Errorf("all routes %+v, %v", got, err)
	}
	if want := []any{"routes", "svc:web", 1, "routes", "", maxRoutes}; !reflect.DeepEqual(f.asked, want) {
		t.Errorf("asked %v", f.asked)
	}
	if _, _, err := c.Routes(t.Context(), "..", 1); err == nil {
		t.Error("routes for a malformed name")
	}
	if got, err := c.Listeners(t.Context()); err != nil || !reflect.DeepEqual(got, f.listeners) {
		t.Errorf("listeners %+v, %v", got, err)
	}
	if n, err := c.UndrainService(t.Context(), "svc:web"); n != 7 || err != nil {
		t.Errorf("undrained %d, %v", n, err)
	}
}

func TestSetListeners(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f)
	n := func(i int) *int { return &i }
	hash, keys := "hash", []sal.KeyPrefix{}
	s := Setting{Service: "svc:web", Weight: n(3), Priority: n(0), Balance: &hash, Keys: &keys}
	if n, err := c.SetListeners(t.Context(), s); n != 6 || err != nil || !reflect.DeepEqual(f.asked, []any{"set", s}) {
		t.Errorf("set %d, %v: %+v", n, err, f.asked)
	}
	nothing := "nothing"
	for want, s := range map[string]Setting{
		"nothing": {Service: "svc:web"}, "name": {Weight: n(1)}, "weight": {Service: "svc:web", Weight: n(0)},
		"priority": {Service: "svc:web", Priority: n(40000)}, "no way": {Service: "svc:web", Balance: &nothing},
	} {
		if _, err := c.SetListeners(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v does not speak of %q", s, err, want)
		}
	}
}

func TestDrainService(t *testing.T) {
	f := &fake{leaving: make(chan int, 3)}
	c, _ := serve(t, f)
	for _, n := range []int{3, 1} {
		f.leaving <- n
	}
	close(f.leaving)
	var left []int
	m, err := c.DrainService(t.Context(), ServiceDrain{Service: "svc:web"}, func(n int) { left = append(left, n) })
	if err != nil || m != (Moved{}) || !slices.Equal(left, []int{3, 1, 0}) {
		t.Errorf("left %v, %v", left, err)
	}
	m, err = c.DrainService(t.Context(), ServiceDrain{Service: "svc:web", Move: true, Grace: Duration(3 * time.Second)}, func(int) {})
	if want := (Moved{Idle: 2, Busy: 3}); err != nil || m != want {
		t.Errorf("moved %+v, want %+v; %v", m, want, err)
	}
	f.err = errors.New("3 connections are left")
	if _, err := c.DrainService(t.Context(), ServiceDrain{}, func(int) {}); err == nil || !strings.Contains(err.Error(), "3 connections") {
		t.Errorf("a drain that fails: %v", err)
	}
	for want, d := range map[string]ServiceDrain{
		"name": {Service: ".."}, "choose 0 to": {Move: true, Grace: -1}, "24h": {Move: true, Grace: Duration(25 * time.Hour)}, "ask for that too": {Grace: 1},
	} {
		if _, err := c.DrainService(t.Context(), d, func(int) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a drain of %+v: %v does not speak of %q", d, err, want)
		}
	}
}
