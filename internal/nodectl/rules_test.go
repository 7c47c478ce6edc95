package nodectl

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/pkg/sal"
)

func (f *fake) Rules() []Rule { return f.rules }

func (f *fake) AddRule(r Rule) (uint64, error) { return 4, f.note("add", r) }

func (f *fake) RemoveRules(which RuleSelection) (int, error) { return 5, f.note("remove", which) }

var someRules = []Rule{
	{ID: 1, Service: "svc:shop/*", Action: Forward, Priority: -3, Weight: 2, Next: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4000")},
		TTL: Duration(time.Minute), Packets: 3, Bytes: 900},
	{ID: 2, Service: "svc:web", Keys: []sal.KeyPrefix{{Key: 1 << 63, Bits: 1}}, Action: Drop},
	{ID: 3, Service: "svc:web", Action: Delay, Hook: &hook.Hook{Command: []string{"start", "web 1"}}, Timeout: Duration(time.Second)},
	{ID: 4, Service: "svc:web", Action: Delay, Hook: &hook.Hook{URL: "http://localhost/start"}},
}

func TestRules(t *testing.T) {
	f := &fake{rules: someRules}
	c, _ := serve(t, f)
	if got, err := c.Rules(t.Context()); err != nil || !reflect.DeepEqual(got, someRules) {
		t.Errorf("rules %+v, %v", got, err)
	}
	for _, r := range someRules {
		f.asked = nil
		if id, err := c.AddRule(t.Context(), r); id != 4 || err != nil || !reflect.DeepEqual(f.asked, []any{"add", r}) {
			t.Errorf("added %d, %v: %+v", id, err, f.asked)
		}
	}
	for _, s := range []RuleSelection{{ID: 7}, {Service: "svc:web"}} {
		f.asked = nil
		if n, err := c.RemoveRules(t.Context(), s); n != 5 || err != nil || !reflect.DeepEqual(f.asked, []any{"remove", s}) {
			t.Errorf("removed %d, %v: %+v", n, err, f.asked)
		}
	}
}

func TestBadRules(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f)
	for want, r := range map[string]Rule{
		"name":     {Action: Drop},
		"action":   {Service: "svc:web", Action: Demux},
		"hook":     {Service: "svc:web", Action: Delay},
		"either":   {Service: "svc:web", Action: Delay, Hook: &hook.Hook{}},
		"negative": {Service: "svc:web", Action: Drop, TTL: -1},
	} {
		if _, err := c.AddRule(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v does not speak of %q", r, err, want)
		}
	}
	for _, s := range []RuleSelection{{}, {ID: 1, Service: "svc:web"}, {Service: "svc:Web!"}} {
		if _, err := c.RemoveRules(t.Context(), s); err == nil {
			t.Errorf("%+v was removed", s)
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("the node was asked %+v", f.asked)
	}
}

func TestRuleExpires(t *testing.T) {
	now := time.Now()
	if at := (Rule{}).Expires(now); !at.IsZero() {
		t.Errorf("a rule without a TTL ends at %v", at)
	}
	if at := (Rule{TTL: Duration(time.Second)}).Expires(now); !at.Equal(now.Add(time.Second)) {
		t.Errorf("a rule of a second ends at %v, now is %v", at, now)
	}
}
