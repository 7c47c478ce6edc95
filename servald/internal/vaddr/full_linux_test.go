package vaddr

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/pkg/sal"
)

// The disk is full: addresses go on to be given, nothing that was stored is lost, and
// all is stored once there is room.
func TestDiskFull(t *testing.T) {
	runtime.LockOSThread() // never to be unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Skip("needs root for a mount namespace:", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skip("needs root for mounts:", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("needs root for mounts:", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	path, filler := filepath.Join(dir, "addresses"), filepath.Join(dir, "filler")
	c := &clock{time.Now()}
	var said strings.Builder
	p := openAt(t, path, Config{Now: c.now, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	want := make(map[sal.Name]netip.Addr)
	more := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			v4, _, err := p.Addrs(nth(i))
			if err != nil {
				t.Fatal(err)
			}
			want[nth(i)] = v4
		}
	}
	check := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if got, ok := p.Name(want[nth(i)]); !ok || got != nth(i) {
				t.Fatalf("%v was %v, and is now %v", want[nth(i)], nth(i), got)
			}
		}
	}
	more(0, 100)
	os.WriteFile(filler, make([]byte, 1<<20), 0o600)
	more(100, 400)
	if n := strings.Count(said.String(), "no space left"); n != 1 {
		t.Errorf("it is said %d times: %s", n, &said)
	}
	p.crash()
	p = openAt(t, path, Config{Now: c.now})
	check(0, 100)
	more(0, 400)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(retryEvery)
	p.Addrs(nth(399))
	p.crash()
	p = openAt(t, path, Config{Now: c.now})
	check(0, 400)
}
