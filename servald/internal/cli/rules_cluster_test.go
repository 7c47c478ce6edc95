package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-net/serval/internal/nodectl"
)

// Rules of a running servald, given by its command, and what becomes of dials.
func TestRulesOfServald(t *testing.T) {
	r := newReal(t)
	r.cluster()
	r.start("serve", "svc:up", "--", "tr", "a-z", "A-Z")
	must := func(args ...string) string {
		t.Helper()
		out, errs, code := r.run("", args...)
		if code != exitOK {
			t.Fatalf("%q: %s, code %d", args, errs, code)
		}
		return out
	}
	fails := func(want int, args ...string) {
		t.Helper()
		if out, errs, code := r.run("", args...); code != want {
			t.Errorf("%q: %q, %s, code %d", args, out, errs, code)
		}
	}

	if out := must("why", "svc:up"); !strings.Contains(out, "a dial asks svc:up#") {
		t.Errorf("why: %s", out)
	}
	var in here
	if err := json.Unmarshal([]byte(must("services", "--here", "svc:up", "--json")), &in); err != nil || in.Service != "svc:up" {
		t.Errorf("services here: %+v, %v", in, err)
	}

	id := strings.TrimSpace(must("rules", "add", "svc:up", "--drop"))
	if out := must("rules", "list"); !strings.Contains(out, "DROP") {
		t.Errorf("rules: %s", out)
	}
	if out := must("routes"); !strings.Contains(out, "DROP") || !strings.Contains(out, "DEMUX") {
		t.Errorf("routes: %s", out)
	}
	fails(exitRefused, "dial", "svc:up")
	fails(exitRefused, "why", "svc:up")
	must("rules", "del", id)
	if out, errs, code := r.run("hello", "dial", "svc:up"); out != "HELLO" || code != 0 {
		t.Errorf("dial: %q, %s, code %d", out, errs, code)
	}

	must("set", "svc:up", "--weight", "7")
	var known instance
	if err := json.Unmarshal([]byte(must("services", "svc:up", "--json")), &known); err != nil || known.Weight != 7 {
		t.Errorf("after set: %+v, %v", known, err)
	}
	must("drain", "svc:up", "--timeout", "20s")
	fails(exitNoService, "dial", "svc:up")
	must("drain", "--undo", "svc:up")
	if out, errs, code := r.run("again", "dial", "svc:up"); out != "AGAIN" || code != 0 {
		t.Errorf("dial: %q, %s, code %d", out, errs, code)
	}

	// A service that starts when it is dialled: the hook names where it is.
	mark := filepath.Join(t.TempDir(), "mark")
	at := known.Addrs[0]
	must("rules", "add", "svc:other/*", "--delay", "--", "sh", "-c", `echo "$SERVAL_SERVICE" >"$0"; echo forward `+at, mark)
	var e nodectl.Explanation
	if err := json.Unmarshal([]byte(must("why", "svc:other/one", "--json")), &e); err != nil || e.Outcome != nodectl.WouldRun {
		t.Errorf("why: %+v, %v", e, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("why runs the hook")
	}
	fails(exitNoService, "dial", "svc:other/one") // it is asked there, and does not serve that name
	if b, err := os.ReadFile(mark); err != nil || string(b) != "svc:other/one\n" {
		t.Errorf("the hook was asked %q, %v", b, err)
	}
	if out := must("rules", "list"); !strings.Contains(out, "svc:other/one") || !strings.Contains(out, at) {
		t.Errorf("rules: %s", out)
	}
}
