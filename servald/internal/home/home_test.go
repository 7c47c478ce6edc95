package home

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/identity"
)

func TestInitAndJoin(t *testing.T) {
	now := time.Now()
	first := At(filepath.Join(t.TempDir(), "first"))
	id, root, err := identity.Ephemeral(now)
	if err != nil {
		t.Fatal(err)
	}
	seeds := []string{"127.0.0.1:7946", "127.0.0.2:7946"}
	token, err := root.Grant(identity.Grant{Seeds: seeds}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Init(root, id, token); err != nil {
		t.Fatal(err)
	}
	if got, err := first.Identity(); err != nil || got.Node() != id.Node() {
		t.Fatalf("loaded %v, %v", got, err)
	}
	if got, err := first.Token(); err != nil || !slices.Equal(got.Seeds(), seeds) {
		t.Errorf("token %v, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(first.Dir(), tokenFile)); err != nil || info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		t.Errorf("the token has mode %v, %v", info.Mode(), err)
	}
	if got, err := first.Root(); err != nil || got.Cluster().ID() != root.Cluster().ID() {
		t.Errorf("root %v, %v", got, err)
	}
	if err := first.Init(root, id, token); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second init: %v", err)
	}
	if err := first.Join(id, token, false); err == nil {
		t.Error("a join replaced a node")
	}
	if err := first.Join(id, token, true); err != nil {
		t.Error(err)
	}
}

func TestEmpty(t *testing.T) {
	h := At(t.TempDir())
	if _, err := h.Identity(); !errors.Is(err, ErrNotJoined) || !strings.Contains(err.Error(), "servald join") {
		t.Errorf("identity: %v", err)
	}
	if _, err := h.Root(); err == nil || !strings.Contains(err.Error(), "servald init") {
		t.Errorf("root: %v", err)
	}
	if _, err := h.Token(); !errors.Is(err, ErrNotJoined) {
		t.Errorf("token: %v", err)
	}
}

func TestDefault(t *testing.T) {
	t.Setenv(Variable, "/somewhere")
	if dir, err := Default(); err != nil || dir != "/somewhere" {
		t.Errorf("default %q, %v", dir, err)
	}
}

func TestPeers(t *testing.T) {
	h := At(t.TempDir())
	if got := h.Peers(); got != nil {
		t.Errorf("peers %q of nobody", got)
	}
	want := []string{"127.0.0.1:1", "[::1]:2"}
	if err := h.SavePeers(want); err != nil {
		t.Fatal(err)
	}
	if got := h.Peers(); !slices.Equal(got, want) {
		t.Errorf("peers %q", got)
	}
	if err := h.SavePeers(make([]string, 1000)); err != nil || len(h.Peers()) > maxPeers {
		t.Errorf("%d peers, %v", len(h.Peers()), err)
	}
}

// What is stored goes nowhere else by a symbolic link, and a link in place of a file is
// replaced.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{peersFile, peersFile + ".new"} {
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	h := At(dir)
	if err := h.SavePeers([]string{"192.0.2.1:7946"}); err != nil {
		t.Fatal(err)
	}
	if got := h.Peers(); len(got) != 1 || got[0] != "192.0.2.1:7946" {
		t.Errorf("stored %q", got)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("what the link led to is now %q, %v", text, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
