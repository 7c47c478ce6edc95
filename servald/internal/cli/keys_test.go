package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestInitTokenJoin(t *testing.T) {
	n := newNetwork(t)
	first, second := filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2")
	token, errs, code := n.servald("", "init", "--home", first, "--seed", "127.0.0.1:7946")
	if code != 0 || !strings.HasPrefix(token, "serval1") || strings.Count(token, "\n") != 1 {
		t.Fatalf("init printed %q and %q, code %d", token, errs, code)
	}
	if _, errs, code := n.servald("", "init", "--home", first); code != exitFailure || !strings.Contains(errs, "not overwritten") {
		t.Errorf("a second init: %s, code %d", errs, code)
	}
	out, errs, code := n.servald(token, "join", "-", "--home", second)
	if code != 0 || !strings.HasPrefix(out, "node ") {
		t.Fatalf("join printed %q and %q, code %d", out, errs, code)
	}
	if _, _, code := n.servald("", "join", strings.TrimSpace(token), "--home", second); code != exitFailure {
		t.Errorf("a second join: code %d", code)
	}
	narrow, errs, code := n.servald("", "token", "--home", first, "--serve", "shop/*", "--lifetime", "1h")
	if code != 0 {
		t.Fatalf("token: %s", errs)
	}
	again, errs, code := n.servald(narrow, "join", "--renew", "-", "--home", second)
	if code != 0 || strings.Fields(again)[1] != strings.Fields(out)[1] {
		t.Errorf("renewal printed %q and %q, code %d", again, errs, code)
	}
	for _, line := range [][]string{
		{"token", "--home", second},
		{"join", "nonsense", "--home", t.TempDir()},
		{"join", token[:len(token)/2], "--home", t.TempDir()},
		{"token", "--home", first, "--seed", "nowhere"},
	} {
		if _, errs, code := n.servald("", line...); code != exitFailure || !strings.HasPrefix(errs, "servald: ") {
			t.Errorf("%q: %s, code %d", line[0], errs, code)
		}
	}
	if _, errs, code := n.servald("", "token", "--home", first, "--serve", "a b"); code != exitUsage {
		t.Errorf("a malformed pattern: %s, code %d", errs, code)
	}
	if _, errs, code := n.servald(" \n", "join", "-", "--home", t.TempDir()); code != exitUsage {
		t.Errorf("an empty token: %s, code %d", errs, code)
	}
}
