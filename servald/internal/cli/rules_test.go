package cli

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
)

func (f *fakeNode) Rules() []nodectl.Rule { return f.rules }

func (f *fakeNode) AddRule(r nodectl.Rule) (uint64, error) {
	b, _ := json.Marshal(r)
	_, err := f.note("add %s", b)
	return 7, err
}

func (f *fakeNode) RemoveRules(s nodectl.RuleSelection) (int, error) {
	return f.note("remove %d%s", s.ID, s.Service)
}

// ruledHost has one process, with some rules.
func ruledHost(t *testing.T) (h *host, f *fakeNode, pid string) {
	h = newHost(t)
	ap := netip.MustParseAddrPort
	f = &fakeNode{count: 1, rules: []nodectl.Rule{
		{ID: 3, Service: "*", Action: nodectl.Forward, Priority: -1, Weight: 1, Next: []netip.AddrPort{ap("192.0.2.1:4000"), ap("[2001:db8::1]:4000")}, Packets: 12, Bytes: 3072},
		{ID: 1, Service: "svc:cache", Keys: []sal.KeyPrefix{{Key: 1 << 62, Bits: 2}, {Key: 1 << 63, Bits: 1}}, Action: nodectl.Drop, Weight: 1, TTL: 90 * second},
		{ID: 2, Service: "svc:web", Action: nodectl.Delay, Weight: 1, Hook: &hook.Hook{Command: []string{"start", "web\x1b1"}}, Timeout: 30 * second},
	}}
	h.process("servald", f)
	return h, f, fmt.Sprint(testPID)
}

func TestRulesList(t *testing.T) {
	h, f, pid := ruledHost(t)
	out, errs, code := h.servald("rules", "list", "--pid", pid)
	if code != 0 || errs != "" {
		t.Errorf("%s, code %d", errs, code)
	}
	golden(t, "rules", out)
	out, _, _ = h.servald("rules", "list", "--pid", pid, "--json")
	golden(t, "rules.json", out)
	f.rules = nil
	if out, errs, code := h.servald("rules", "ls", "--pid", pid); out != "" || code != 0 || errs != "no rules\n" {
		t.Errorf("%q, %q, code %d", out, errs, code)
	}
}

func TestRulesAdd(t *testing.T) {
	h, f, pid := ruledHost(t)
	for line, want := range map[string]string{
		"svc:web --forward 192.0.2.1:4000,[2001:db8::1]:4000 --weight 3": `{"service":"svc:web","action":"FORWARD","priority":0,"weight":3,"next":["192.0.2.1:4000","[2001:db8::1]:4000"],"packets":0,"bytes":0}`,
		"svc:shop/* --drop --ttl 1m --priority -2":                       `{"service":"svc:shop/*","action":"DROP","priority":-2,"weight":1,"ttl_s":60,"packets":0,"bytes":0}`,
		"svc:cache --drop --keys 4/2 --keys 8/1":                         `{"service":"svc:cache","keys":["4/2","8/1"],"action":"DROP","priority":0,"weight":1,"packets":0,"bytes":0}`,
		"svc:web --delay --timeout 1s -- start web":                      `{"service":"svc:web","action":"DELAY","priority":0,"weight":1,"hook":{"command":["start","web"]},"timeout_s":1,"packets":0,"bytes":0}`,
		"svc:web --delay --callback http://localhost/start --pid " + pid: `{"service":"svc:web","action":"DELAY","priority":0,"weight":1,"hook":{"url":"http://localhost/start"},"packets":0,"bytes":0}`,
	} {
		args := append([]string{"rules", "add", "--socket", h.socket, "--pid", pid}, strings.Fields(line)...)
		out, errs, code := h.plain(args...)
		if got := f.said(); got != "add "+want || out != "7\n" || code != 0 {
			t.Errorf("%s: asked %s\nwant add %s\n%q, %s, code %d", line, got, want, out, errs, code)
		}
	}
	if out, _, _ := h.servald("rules", "add", "svc:web", "--drop", "--json", "--pid", pid); out != "{\"id\":7}\n" {
		t.Errorf("printed %q", out)
	}
	f.said()
	for _, line := range []string{
		"", "svc:web", "svc:web --drop --delay -- x", "svc:web --drop --callback http://x", "svc:web --delay", "svc:web --delay --callback http://x -- y",
		"svc:web svc:db --drop", "--drop -- x", "svc:Web! --drop", "svc:web --forward web:80", "svc:web --drop --keys 4", "svc:web --drop --timeout 1s",
		"svc:web --delay --callback nowhere", "svc:web --drop --ttl -1s",
	} {
		args := append([]string{"rules", "add", "--socket", h.socket, "--pid", pid}, strings.Fields(line)...)
		if out, errs, code := h.plain(args...); code != exitUsage || out != "" {
			t.Errorf("%q: %q, %s, code %d", line, out, errs, code)
		}
	}
	if got := f.said(); got != "" {
		t.Errorf("the node was asked %q", got)
	}
}

func TestRulesDel(t *testing.T) {
	h, f, pid := ruledHost(t)
	out, errs, code := h.servald("rules", "del", "3", "svc:web", "--pid", pid)
	if got := f.said(); got != "remove 3; remove 0svc:web" || code != 0 || out != "removed 2 rules\n" {
		t.Errorf("asked %q, printed %q, %s, code %d", got, out, errs, code)
	}
	if _, _, code := h.servald("rules", "del", "x..y", "--pid", pid); code != exitUsage {
		t.Errorf("a malformed name: code %d", code)
	}
	f.count = 0
	if out, errs, code := h.servald("rules", "del", "svc:web", "--pid", pid); out != "" || code != exitFailure || !strings.Contains(errs, "no rule for exactly svc:web") {
		t.Errorf("a rule that is not there: %q, %q, code %d", out, errs, code)
	}
}

// What list --json prints, load adds.
func TestRulesLoad(t *testing.T) {
	h, f, pid := ruledHost(t)
	printed, _, _ := h.servald("rules", "list", "--pid", pid, "--json")
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(printed), 0o600); err != nil {
		t.Fatal(err)
	}
	f.said()
	out, errs, code := h.servald("rules", "load", file, "--pid", pid)
	if got := f.said(); out != "added 3 rules\n" || code != 0 || strings.Count(got, "add ") != 3 || strings.Contains(got, `"id"`) || !strings.Contains(got, `"ttl_s":90`) {
		t.Errorf("%q, %s, code %d; asked %s", out, errs, code, got)
	}
	for _, bad := range []string{"hello", `{"service":"svc:web"}`, printed + `{"service":"svc:web","action":"DROP","unknown":1}`} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := h.servald("rules", "load", file, "--pid", pid); code != exitUsage || !strings.Contains(errs, "rule") {
			t.Errorf("%q: %s, code %d", bad, errs, code)
		}
	}
	if _, _, code := h.servald("rules", "load", "/no/such/file", "--pid", pid); code != exitFailure {
		t.Errorf("no file: code %d", code)
	}
	if got := f.said(); got != "" {
		t.Errorf("asked %s", got)
	}
}

func TestRulesOf(t *testing.T) {
	h, _, pid := ruledHost(t)
	if _, errs, code := h.servald("rules", "list"); code != exitFailure || !strings.Contains(errs, "servald") {
		t.Errorf("no servald runs: %s, code %d", errs, code)
	}
	if _, errs, code := h.servald("rules", "list", "--pid", "1"); code != exitFailure || !strings.Contains(errs, "process 1") {
		t.Errorf("of a process that is not there: %s, code %d", errs, code)
	}
	if _, _, code := h.servald("rules"); code != exitUsage {
		t.Errorf("rules alone: code %d", code)
	}
	out, _, _ := h.plain("__complete", "rules", "del", "--socket", h.socket, "--pid", pid, "")
	for _, want := range []string{"3\t* FORWARD 192.0.2.1:4000", "2\tsvc:web DELAY start web?1", "\nsvc:web\n", ":4"} {
		if !strings.Contains(out, want) {
			t.Errorf("completions do not have %q: %q", want, out)
		}
	}
}
