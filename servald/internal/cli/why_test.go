package cli

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
)

func (f *fakeNode) Explain(_ context.Context, q nodectl.Question) (nodectl.Explanation, error) {
	_, err := f.note("why %s %s %s", q.Service, q.Key, q.Balance)
	return f.why, err
}

func TestWhy(t *testing.T) {
	h, f, pid := ruledHost(t)
	f.why = nodectl.Explanation{Service: "svc:web", ServiceID: "01ab", Node: "meservald", Outcome: nodectl.WouldDial,
		Steps: []nodectl.Step{{Step: nodectl.StepName, Text: "svc:web has an ID"}, {Step: nodectl.StepOutcome, Text: "a dial asks\x1b[2J"}},
		Candidates: []nodectl.Candidate{
			{Service: "svc:web", Node: "k5x2mqpaabcd", Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4000")}, Weight: 2, Priority: 1, Load: 0.5,
				RTT: 20 * millisecond, Standing: "well", Score: 0.125, Reason: "drawn by weight 2"},
			{Service: "svc:*", Rule: true, Weight: 1, Standing: "ejected", Reason: "no way", Excluded: true},
		},
		Refusals: []nodectl.Refusal{{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Service: "svc:web", Addr: netip.MustParseAddrPort("192.0.2.9:1"), Why: "full"}},
	}
	out, errs, code := h.servald("why", "svc:web", "--pid", pid, "--key", "k", "--balance", "hash")
	if got := f.said(); code != 0 || errs != "" || got != "why svc:web k hash" {
		t.Errorf("%s, code %d, asked %s", errs, code, got)
	}
	golden(t, "why", squeeze(out))
	out, _, _ = h.servald("why", "svc:web", "--pid", pid, "--json")
	var e nodectl.Explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil || len(e.Candidates) != 2 || e.Outcome != nodectl.WouldDial {
		t.Errorf("%v: %s", err, out)
	}
	for outcome, want := range map[string]int{nodectl.WouldRun: exitOK, nodectl.NoService: exitNoService, nodectl.Refused: exitRefused, nodectl.Unauthorized: exitRefused} {
		f.why.Outcome = outcome
		if out, errs, code := h.servald("why", "svc:web", "--pid", pid); code != want || !strings.Contains(out, "svc:web has an ID") {
			t.Errorf("%s: code %d, %s, %s", outcome, code, out, errs)
		}
	}
	f.said()
	for _, line := range []string{"why", "why a b", "why ..", "why svc:web --balance luck"} {
		if _, errs, code := h.servald(append(strings.Fields(line), "--pid", pid)...); code != exitUsage {
			t.Errorf("%s: code %d, %s", line, code, errs)
		}
	}
	if got := f.said(); got != "" {
		t.Errorf("asked %s", got)
	}
}
