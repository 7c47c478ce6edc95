package resolvconf

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var us = netip.MustParseAddrPort("127.0.0.1:53")

const before = "# of the user\nsearch corp.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\noptions rotate timeout:2\n"

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func content1(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// onlyFile fails if anything but resolv.conf is left in its directory.
func onlyFile(t *testing.T, path string, also ...string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name() != filepath.Base(path) && !slices.Contains(also, e.Name()) {
			t.Errorf("%s is left behind", e.Name())
		}
	}
}

func setup(t *testing.T, path string, changed func([]string)) *Setup {
	t.Helper()
	s, err := Set(t.Context(), Config{Mode: File, Server: us, Path: path, Every: 2 * time.Millisecond}, changed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	was, _ := os.Stat(path)
	s := setup(t, path, nil)
	if s.Mode() != File || !slices.Equal(s.Servers(), []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
		t.Errorf("%s, %v", s.Mode(), s.Servers())
	}
	var meant []string
	for line := range strings.Lines(content1(t, path)) {
		if line[0] != '#' {
			meant = append(meant, line)
		}
	}
	// The servers from before stay, for when servald is killed.
	if want := "nameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch corp.example\noptions timeout:2\n"; strings.Join(meant, "") != want {
		t.Errorf("it is\n%s", strings.Join(meant, ""))
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o644 {
		t.Errorf("programs cannot read it: %v", info.Mode())
	}
	if list, err := Servers(path); err != nil || len(list) != 3 {
		t.Errorf("the host's servers are %v, %v", list, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now, err := os.Stat(path)
	if err != nil || content1(t, path) != before || !os.SameFile(was, now) || now.Mode() != was.Mode() {
		t.Errorf("it was not restored: %v, %v", now, err)
	}
	onlyFile(t, path)
	if err := s.Close(); err != nil || content1(t, path) != before {
		t.Errorf("closed again: %v", err)
	}
}

func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etc", "resolv.conf")
	os.Mkdir(filepath.Dir(path), 0o755)
	target := filepath.Join(dir, "of-others")
	write(t, target, before)
	if err := os.Symlink("../of-others", path); err != nil {
		t.Fatal(err)
	}
	s := setup(t, path, nil)
	if content1(t, target) != before {
		t.Error("it wrote to the file that the link leads to")
	}
	if len(s.Servers()) != 3 {
		t.Error(s.Servers())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(path); err != nil || to != "../of-others" || content1(t, target) != before {
		t.Errorf("the link is not restored: %v, %v", to, err)
	}
	onlyFile(t, path)
}

func TestNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	s := setup(t, path, nil)
	if len(s.Servers()) != 0 || !strings.Contains(content1(t, path), "nameserver 127.0.0.1\n") {
		t.Errorf("%v", s.Servers())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file is there that was not before")
	}
}

// Another servald runs: nothing of it is touched.
func TestAnotherRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	s := setup(t, path, nil)
	made := content1(t, path)
	if err := Recover(path, nil); err != nil {
		t.Error(err)
	}
	if _, err := Set(t.Context(), Config{Mode: File, Server: us, Path: path}, nil); err == nil || !strings.Contains(err.Error(), "another servald that runs") {
		t.Errorf("%v", err)
	}
	if content1(t, path) != made {
		t.Error("it was changed")
	}
	if err := s.Close(); err != nil || content1(t, path) != before {
		t.Errorf("%v; it is %q", err, content1(t, path))
	}
}

// What a kill can leave at each step is put right.
func TestRecoverSteps(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, at := range map[string]func(path, backup string){
		"nothing": func(string, string) {},
		"kept":    func(path, backup string) { keep(path, backup) },
		"made":    func(path, backup string) { keep(path, backup); create(freshOf(path), []byte(mark[:9])) },
		"replaced": func(path, backup string) {
			keep(path, backup)
			replace(path, ours(us.Addr(), []byte(before), backup))
		},
		"removed":  func(path, backup string) { keep(path, backup); os.Remove(path) },
		"cut":      func(path, backup string) { create(backup, []byte(before)); writeTo(path, nil) },
		"half cut": func(path, backup string) { create(backup, []byte(before)); writeTo(path, []byte(mark[:30])) },
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		write(t, path, before)
		at(path, backupOf(path))
		for range 2 {
			if err := recoverFile(path, log); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if content1(t, path) != before {
			t.Errorf("%s: it is %q", name, content1(t, path))
		}
		onlyFile(t, path)
	}
}

// The kept file is gone: the servers that are known are put back.
func TestBackupIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	s := setup(t, path, nil)
	os.Remove(backupOf(path))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch corp.example\noptions timeout:2\n"; content1(t, path) != want {
		t.Errorf("it is\n%s", content1(t, path))
	}
}

func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// Others replace the file: it is set up again with what they have written, and that is
// what is put back.
func TestReplaced(t *testing.T) {
	for name, put := range map[string]func(path, text string){
		"renamed": func(path, text string) { write(t, path+".tmp", text); os.Rename(path+".tmp", path) },
		"written": func(path, text string) { write(t, path, text) },
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		write(t, path, before)
		news := make(chan []string, 10)
		s := setup(t, path, func(servers []string) { news <- servers })
		const theirs = "nameserver 198.51.100.1\nsearch vpn.example\n"
		put(path, theirs)
		wait(t, name+": it is not set up again", func() bool {
			b, _ := os.ReadFile(path)
			_, intact := isOurs(b)
			return intact && len(s.Servers()) == 1
		})
		if got := <-news; !slices.Equal(got, []string{"198.51.100.1"}) {
			t.Errorf("%s: the servers are %v", name, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if content1(t, path) != theirs {
			t.Errorf("%s: it is %q", name, content1(t, path))
		}
		onlyFile(t, path)
	}
}

// Others that replace it again and again win.
func TestReplacedForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	var said strings.Builder
	s, err := Set(t.Context(), Config{Mode: File, Server: us, Path: path, Every: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&said, nil))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { s.tasks.Wait(); close(gone) }()
	theirs := "nameserver 198.51.100.1\n"
	wait(t, "it goes on for ever", func() bool {
		if b, _ := os.ReadFile(path); string(b) != theirs {
			write(t, path+".tmp", theirs)
			os.Rename(path+".tmp", path)
		}
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	if err := s.Close(); err != nil || content1(t, path) != theirs {
		t.Errorf("it is %q, %v", content1(t, path), err)
	}
	if !strings.Contains(said.String(), "again and again") {
		t.Errorf("it says %s", said.String())
	}
	onlyFile(t, path)
}

// Somebody edits our file: nothing of it is lost.
func TestEdited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	s, err := Set(t.Context(), Config{Mode: File, Server: us, Path: path, Every: time.Hour}, nil)
	if err != nil {
		t.Fatal(err)
	}
	edited := content1(t, path) + "options edns0\n"
	write(t, path, edited)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if content1(t, path) != before || content1(t, path+".edited") != edited {
		t.Errorf("it is %q", content1(t, path))
	}
	onlyFile(t, path, "resolv.conf.edited")
}

// The name of a file that servald uses is a link to somewhere: that is left alone.
func TestSymlinksAtOurNames(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etc", "resolv.conf")
	os.Mkdir(filepath.Dir(path), 0o755)
	write(t, path, before)
	victim := filepath.Join(dir, "victim")
	write(t, victim, "precious")
	for _, name := range []string{backupOf(path), freshOf(path)} {
		if err := os.Symlink(victim, name); err != nil {
			t.Fatal(err)
		}
	}
	s := setup(t, path, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if content1(t, victim) != "precious" || content1(t, path) != before {
		t.Error("it followed a link")
	}
	onlyFile(t, path)
}

func TestConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, before)
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Mode: "magic", Server: us}, "no mode"},
		{Config{}, "cannot ask"},
		{Config{Server: netip.MustParseAddrPort("0.0.0.0:53")}, "cannot ask"},
		{Config{Mode: File, Server: netip.MustParseAddrPort("127.0.0.1:5353")}, "port 53 only"},
	} {
		tt.cfg.Path = path
		if _, err := Set(t.Context(), tt.cfg, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
	for err, want := range map[error]string{syscall.EROFS: "read-only", syscall.EPERM: "chattr", syscall.EACCES: "may not be changed", syscall.ENOSPC: "full"} {
		if said := advise(Config{Path: path, Server: us}, &fs.PathError{Op: "open", Path: path, Err: err}).Error(); !strings.Contains(said, want) || !strings.Contains(said, "nameserver 127.0.0.1") {
			t.Errorf("%v: %s", err, said)
		}
	}
	if content1(t, path) != before {
		t.Error("it was changed")
	}
	onlyFile(t, path)
}

func FuzzContent(f *testing.F) {
	for _, s := range []string{"", before, string(ours(us.Addr(), []byte(before), "x")), "nameserver fe80::1%eth0\nnameserver\noptions\noptions rotate\n;\n", mark, mark + sum} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		made := ours(us.Addr(), b, "/etc/x")
		if is, intact := isOurs(made); !is || !intact {
			t.Fatalf("%q is not taken for ours", made)
		}
		c := parse(made)
		if len(c.servers) > maxServers || c.servers[0] != us.Addr() {
			t.Fatalf("servers %v", c.servers)
		}
		if is, intact := isOurs(append(made, '#')); !is || intact {
			t.Fatal("an edit goes unnoticed")
		}
		again := parse(Render(c.servers, made))
		if !slices.Equal(again.servers, c.servers) || !slices.Equal(again.rest, c.rest) {
			t.Fatalf("%v became %v", c, again)
		}
	})
}
