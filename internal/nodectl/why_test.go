package nodectl

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func (f *fake) Explain(_ context.Context, q Question) (Explanation, error) {
	return f.why, f.note("why", q)
}

func TestExplain(t *testing.T) {
	f := &fake{why: Explanation{Service: "svc:web", ServiceID: "01", Node: "k5x2mqpa", Steps: []Step{{StepName, "it is"}}, Outcome: WouldDial,
		Candidates: []Candidate{{Service: "svc:*", Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}, Rule: true, Weight: 1,
			RTT: Duration(time.Millisecond), Standing: "well", Until: time.Unix(1, 0).UTC(), Score: 1.5, Reason: "so", Excluded: true}},
		Refusals: []Refusal{{Time: time.Unix(2, 0).UTC(), Service: "svc:web", Addr: netip.MustParseAddrPort("192.0.2.1:1"), Why: "full"}}}}
	c, _ := serve(t, f)
	q := Question{Service: "svc:web", Key: "k", Balance: "hash"}
	if got, err := c.Explain(t.Context(), q); err != nil || !reflect.DeepEqual(got, f.why) || !reflect.DeepEqual(f.asked, []any{"why", q}) {
		t.Errorf("explained %+v, %v; asked %v", got, err, f.asked)
	}
	for want, q := range map[string]Question{"name": {}, "bytes": {Service: "svc:web", Key: strings.Repeat("x", maxKey+1)}, "no way": {Service: "svc:web", Balance: "luck"}} {
		if _, err := c.Explain(t.Context(), q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %q", err, want)
		}
	}
}
