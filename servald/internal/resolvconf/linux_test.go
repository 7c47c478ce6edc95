//go:build linux

package resolvconf

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain also is the program that TestKill kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("RESOLVCONF_TEST_PATH"); path != "" {
		for {
			s, err := Set(context.Background(), Config{Mode: File, Server: us, Path: path, Every: time.Hour}, nil)
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

// Kill -9 at any moment, then the next start: all is as it was. At no moment is there
// no file, or a part of one.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	states := make(map[string]int)
	for range 40 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "RESOLVCONF_TEST_PATH="+path)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(20000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		now := content1(t, path)
		made, intact := isOurs([]byte(now))
		states[fmt.Sprint(made)]++
		if now != before && !(made && intact) {
			t.Fatalf("it is %q", now)
		}
		if err := Recover(path, nil); err != nil {
			t.Fatal(err)
		}
		if content1(t, path) != before {
			t.Fatalf("it is restored as %q", content1(t, path))
		}
		onlyFile(t, path)
	}
	t.Log("killed while it was ours:", states)
}

// Servalds that start and stop at the same time: at most one sets up at a time, and in
// the end all is as it was.
func TestRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	var all sync.WaitGroup
	var made atomic.Int32
	for range 4 {
		all.Go(func() {
			for range 30 {
				if err := Recover(path, nil); err != nil {
					t.Error(err)
				}
				s, err := Set(t.Context(), Config{Mode: File, Server: us, Path: path, Every: time.Hour}, nil)
				if err != nil {
					if !strings.Contains(err.Error(), "another servald that runs") {
						t.Error(err)
					}
					continue
				}
				made.Add(1)
				if list := s.Servers(); len(list) != 3 {
					t.Errorf("the servers from before are %v", list)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if content1(t, path) != before {
		t.Errorf("it is %q", content1(t, path))
	}
	onlyFile(t, path)
	if made.Load() == 0 {
		t.Error("nobody ever sets up")
	}
}

// mounts lets the test make mounts that nobody else sees.
func mounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never to be unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Skip("needs root for a mount namespace:", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skip("needs root for mounts:", err)
	}
}

// In containers, resolv.conf is a mount of its own, which cannot be replaced.
func TestBindMount(t *testing.T) {
	mounts(t)
	dir := t.TempDir()
	path, source := filepath.Join(dir, "resolv.conf"), filepath.Join(t.TempDir(), "source")
	write(t, path, "")
	write(t, source, before)
	if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
		t.Skip("needs root for mounts:", err)
	}
	defer unix.Unmount(path, 0)
	f := &file{cfg: Config{Server: us, Path: path}} // on this thread, not another
	f.cfg.fill()
	if _, err := f.set(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, intact := isOurs([]byte(content1(t, source))); !intact {
		t.Errorf("it is %q", content1(t, source))
	}
	if err := f.restore(); err != nil {
		t.Fatal(err)
	}
	if content1(t, source) != before {
		t.Errorf("it is restored as %q", content1(t, source))
	}
	onlyFile(t, path)
}

func TestReadOnly(t *testing.T) {
	mounts(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "resolv.conf")
	write(t, path, before)
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Skip("needs root for mounts:", err)
	}
	defer unix.Unmount(dir, 0)
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := Set(t.Context(), Config{Mode: File, Server: us, Path: path}, nil)
	if err == nil || !strings.Contains(err.Error(), "is on a read-only file system, and is as it was") || !strings.Contains(err.Error(), "nameserver 127.0.0.1") {
		t.Errorf("%v", err)
	}
	if content1(t, path) != before {
		t.Error("it was changed")
	}
}

// A disk that is full: nothing changes.
func TestDiskFull(t *testing.T) {
	mounts(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"); err != nil {
		t.Skip("needs root for mounts:", err)
	}
	defer unix.Unmount(dir, 0)
	path := filepath.Join(dir, "resolv.conf")
	write(t, path, before)
	os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0o600)
	_, err := Set(t.Context(), Config{Mode: File, Server: us, Path: path}, nil)
	if err == nil || !strings.Contains(err.Error(), "is full") || content1(t, path) != before {
		t.Errorf("%v; it is %q", err, content1(t, path))
	}
	onlyFile(t, path, "full")
}

// fakeResolvectl puts a program in the place of resolvectl, which writes down how it
// is called.
func fakeResolvectl(t *testing.T) (calls func() []string) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := "#!/bin/sh\nshift\necho \"$@\" >>" + log + "\ncase $# in 2) cat " + dir + "/domain 2>/dev/null;; esac\ncase $1 in revert) rm -f " + dir + "/domain;; domain) [ $# = 3 ] && echo $3 >" + dir + "/domain;; esac\nexit 0\n"
	if err := os.WriteFile(filepath.Join(dir, "resolvectl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() []string {
		b, _ := os.ReadFile(log)
		return strings.Split(strings.TrimSpace(string(b)), "\n")
	}
}

func TestResolved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network interface")
	}
	calls := fakeResolvectl(t)
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, "nameserver 127.0.0.53\noptions edns0 trust-ad\n")
	runtime.LockOSThread() // never to be unlocked
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("needs root for a network namespace:", err)
	}
	cfg := Config{Server: netip.MustParseAddrPort("127.0.0.64:53"), Path: path}
	if err := cfg.fill(); err != nil {
		t.Fatal(err)
	}
	if !usesResolved(path) {
		t.Fatal("systemd-resolved is not found")
	}
	r := &resolved{cfg: cfg} // on this thread, not another
	for range 2 {
		if _, err := r.set(t.Context()); err != nil {
			t.Fatal(err)
		}
		link, err := net.InterfaceByName(ownLink)
		if err != nil || link.Flags&net.FlagUp == 0 {
			t.Fatalf("%v, %v", link, err)
		}
	}
	for _, want := range []string{"dns serval-dns 127.0.0.64", "domain serval-dns ~svc.serval", "default-route serval-dns false"} {
		if !slices.Contains(calls(), want) {
			t.Errorf("it was not told %q but %q", want, calls())
		}
	}
	if again, _, err := r.check(t.Context()); again || err != nil {
		t.Errorf("nothing has changed: %v, %v", again, err)
	}
	if _, err := resolvectl(t.Context(), "revert", ownLink); err != nil {
		t.Fatal(err)
	}
	if again, _, err := r.check(t.Context()); !again || err != nil {
		t.Errorf("the settings are gone: %v, %v", again, err)
	}
	if err := r.restore(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.InterfaceByName(ownLink); err == nil {
		t.Error("the interface is left behind")
	}
	if content1(t, path) != "nameserver 127.0.0.53\noptions edns0 trust-ad\n" {
		t.Error("the file was changed")
	}
}

func TestStubIsLeftOut(t *testing.T) {
	f := &file{cfg: Config{Server: us}}
	if got := f.servers([]byte("nameserver 127.0.0.53\nnameserver 192.0.2.1\n")); !slices.Contains(got, "192.0.2.1") || slices.Contains(got, "127.0.0.53") {
		t.Errorf("%v", got)
	}
}
