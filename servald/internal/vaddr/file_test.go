package vaddr

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

func openAt(t testing.TB, path string, cfg Config) *Pool {
	t.Helper()
	p, err := Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// crash ends a pool as a kill does.
func (p *Pool) crash() {
	p.file.close()
	p.file = nil
}

func TestRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses")
	p := openAt(t, path, Config{})
	want := make(map[sal.Name]netip.Addr)
	for i := range 3000 {
		want[nth(i)], _, _ = p.Addrs(nth(i))
	}
	check := func(p *Pool, how string) {
		t.Helper()
		for name, v4 := range want {
			if got, ok := p.Name(v4); !ok || got != name {
				t.Fatalf("%s: %v was %v, and is now %v", how, v4, name, got)
			}
		}
	}
	p.crash()
	p = openAt(t, path, Config{})
	check(p, "after a kill")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = openAt(t, path, Config{})
	check(p, "after an end")
	p.crash()
	for i := range 20 { // each time a line more, or none
		p = openAt(t, path, Config{})
		want[nth(5000+i)], _, _ = p.Addrs(nth(5000 + i))
		p.crash()
	}
	check(openAt(t, path, Config{}), "after many kills")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Ages are stored, not times: they mean the same when the clock is set.
func TestClockJumps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses")
	c := &clock{time.Now()}
	cfg := Config{V4: netip.MustParsePrefix("10.0.0.0/29"), Now: c.now}
	p := openAt(t, path, cfg)
	all, _ := p.Capacity()
	for i := range all {
		p.Addrs(nth(i))
	}
	c.at = c.at.Add(Rest - time.Hour)
	p.Addrs(nth(0))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for _, year := range []int{1970, 2100, 2030} {
		c.at = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		p = openAt(t, path, cfg)
		if _, _, err := p.Addrs(web); err == nil {
			t.Fatalf("in %d, an address that was in use 23 hours ago is given away", year)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p = openAt(t, path, cfg)
	p.Addrs(nth(1)) // it is stored that this one is in use now
	p.crash()
	p = openAt(t, path, cfg)
	c.at = c.at.Add(2 * time.Hour)
	for i := range all {
		p.Addrs(nth(100 + i))
	}
	for i, want := range []bool{true, true, false} {
		if got := p.byName[nth(i)] != nil; got != want {
			t.Errorf("number %d is known: %v", i, got)
		}
	}
}

func TestBadFiles(t *testing.T) {
	good := "198.18.0.9 svc:web 0\n"
	for name, tt := range map[string]struct {
		text string
		bad  bool // a copy is kept
	}{
		"empty":            {"", false},
		"cut":              {good + "198.18.0.10 svc:sho", false},
		"only cut":         {"198.18", false},
		"twice":            {good + "198.18.0.10 svc:web 0\n" + good, false},
		"taken":            {good + "198.18.0.9 svc:shop/cart 5\n" + good, false},
		"another prefix":   {good + "10.0.0.9 svc:shop/cart 0\n", false},
		"of servald":       {good + "198.18.0.1 svc:shop/cart 0\n", false},
		"garbage":          {"\x00\xff\x00\n" + good, true},
		"words":            {good + "198.18.0.10 svc:shop/cart\n", true},
		"IPv6":             {good + "fd5e:7276:616c::2 svc:shop/cart 0\n", true},
		"no name":          {good + "198.18.0.10 svc: 0\n", true},
		"a wildcard":       {good + "198.18.0.10 svc:* 0\n", true},
		"a negative age":   {good + "198.18.0.10 svc:shop/cart -1\n", true},
		"too large an age": {good + "198.18.0.10 svc:shop/cart 99999999999\n", true},
	} {
		path := filepath.Join(t.TempDir(), "addresses")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		p := openAt(t, path, Config{Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if _, ok := p.Name(netip.MustParseAddr("198.18.0.9")); ok != strings.Contains(tt.text, good) {
			t.Errorf("%s: the good line is not read", name)
		}
		kept, err := os.ReadFile(path + ".bad")
		if tt.bad != (err == nil) || tt.bad && string(kept) != tt.text || tt.bad != strings.Contains(said.String(), "make no sense") {
			t.Errorf("%s: kept is %q, %v; said is %s", name, kept, err, &said)
		}
		v4, _, err := p.Addrs(cart) // it goes on
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.crash()
		if got, ok := openAt(t, path, Config{}).Name(v4); !ok || got != cart {
			t.Errorf("%s: then %v is %v", name, v4, got)
		}
	}
}

func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	os.WriteFile(victim, []byte("precious"), 0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(victim, link); err != nil {
		t.Skip(err)
	}
	if _, err := Open(link, Config{}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a symbolic link: %v", err)
	}
	if _, err := Open(dir, Config{}); err == nil {
		t.Error("a directory is taken for a file")
	}
	path := filepath.Join(dir, "addresses")
	if err := os.Symlink(victim, path+".new"); err != nil {
		t.Fatal(err)
	}
	p := openAt(t, path, Config{})
	p.Addrs(web)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("it has written to %s", victim)
	}
	if _, err := os.Lstat(path + ".new"); err == nil {
		t.Error("the new file is left behind")
	}
}

func TestLock(t *testing.T) {
	if noFollow == 0 {
		t.Skip("files cannot be locked here")
	}
	path := filepath.Join(t.TempDir(), "addresses")
	p := openAt(t, path, Config{})
	for range 2 {
		if _, err := Open(path, Config{}); err == nil || !strings.Contains(err.Error(), "in use by another servald") {
			t.Errorf("two use one file: %v", err)
		}
		p.Addrs(web) // replaces the file
	}
	p.Close()
	openAt(t, path, Config{})
}

// The file cannot be written: addresses go on to be given, it is said once, and when it
// can be written again, nothing is lost.
func TestCannotWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	os.Mkdir(dir, 0o700)
	path := filepath.Join(dir, "addresses")
	c := &clock{time.Now()}
	var said strings.Builder
	p := openAt(t, path, Config{Now: c.now, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err := os.Rename(dir, dir+"-gone"); err != nil {
		t.Skip(err)
	}
	want := make(map[sal.Name]netip.Addr)
	for i := range 100 {
		v4, _, err := p.Addrs(nth(i))
		if err != nil {
			t.Fatal(err)
		}
		want[nth(i)] = v4
		c.at = c.at.Add(time.Second)
	}
	if n := strings.Count(said.String(), "could not be stored"); n != 1 {
		t.Errorf("it is said %d times: %s", n, &said)
	}
	if err := os.Rename(dir+"-gone", dir); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(retryEvery)
	p.Name(want[nth(0)])
	p.crash()
	p = openAt(t, path, Config{})
	for name, v4 := range want {
		if got, ok := p.Name(v4); !ok || got != name {
			t.Fatalf("%v was %v, and is now %v", v4, name, got)
		}
	}
}

// The file stays about as long as there are addresses.
func TestFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses")
	c := &clock{time.Now()}
	p := openAt(t, path, Config{V4: netip.MustParsePrefix("10.0.0.0/28"), Now: c.now})
	for i := range 5000 {
		c.at = c.at.Add(Rest)
		if _, _, err := p.Addrs(nth(i)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") > 2000 {
		t.Errorf("%d lines, %v", strings.Count(string(b), "\n"), err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("198.18.0.9 svc:web 0\n198.18.0.9 svc:shop/cart 100\n198.18.0.10 svc:web 3\n")
	f.Add(header + "1.2.3.4 svc:x 0\n\n#\nx")
	f.Add("198.19.255.255 svc:a 4294967295\n198.18.0.2 svc:a 0\n198.18.0.2 svc:b 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, _ := newPool(t, "198.18.0.0/24")
		for line := range strings.Lines(text) {
			p.restore(strings.TrimSuffix(line, "\n"))
		}
		n := 0
		for name, e := range p.byName {
			if e.name != name || e.in == nil || e.v4.IsValid() && p.byAddr[e.v4] != e {
				t.Fatalf("%v is %+v", name, e)
			}
			if e.v4.IsValid() {
				n++
			}
		}
		if n != p.count || p.given.Len()+p.learnt.Len() != len(p.byName) {
			t.Fatalf("%d are given, %d counted, %d and %d rest, of %d", n, p.count, p.given.Len(), p.learnt.Len(), len(p.byName))
		}
		var last time.Time
		for at := p.given.Front(); at != nil; at = at.Next() {
			if e := at.Value.(*entry); e.used.Before(last) {
				t.Fatal("they are not in order")
			} else {
				last = e.used
			}
		}
		if _, _, err := p.Addrs(web); err != nil && p.count < p.usable() {
			t.Fatal(err)
		}
	})
}
