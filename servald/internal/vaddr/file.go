package vaddr

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/wholefile"
)

// The file is text: a header, and a line for each IPv4 address such as
//
//	198.18.90.12 svc:shop/cart 3600
//
// with how many seconds it had rested when that was written. A line comes in place of
// earlier ones for the same address or service. New lines are appended at once, so
// that a kill loses none; now and then, and at the end, a new file with one line for
// each address takes the old one's place. Ages rather than times are stored: they
// mean the same when the clock is set.
const header = "# servald: virtual IPv4 addresses, their services, and seconds since last use\n"

// maxFile bounds the file: as many lines as a /8 would need are never there.
const maxFile = 256 << 20

// retryEvery is how often a file that could not be written is tried again.
const retryEvery = 10 * time.Second

// file is a Pool's file.
type file struct {
	path   string
	f      *os.File
	log    *slog.Logger
	lines  int       // in the file
	broken bool      // it must be written anew: what is at its end is not known
	retry  time.Time // when to try that again, if it has failed
}

func openFile(path string, log *slog.Logger) (*file, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for range 10 { // another Pool may replace the file between the steps
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|noFollow, 0o600)
		if err != nil {
			if info, lerr := os.Lstat(path); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
				return nil, fmt.Errorf("%s is a symbolic link, which servald does not follow: remove it", path)
			}
			return nil, fmt.Errorf("virtual addresses cannot be stored: %w", err)
		}
		if err := lock(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s is in use by another servald: stop that, or give this one another directory: %w", path, err)
		}
		here, err1 := f.Stat()
		there, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(here, there) {
			if !here.Mode().IsRegular() {
				f.Close()
				return nil, fmt.Errorf("%s is no regular file: remove it", path)
			}
			return &file{path: path, f: f, log: log}, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("%s is replaced again and again: what else writes to it?", path)
}

func (f *file) close() { f.f.Close() }

// load reads the file and calls restore for each line, in order.
func (f *file) load(restore func(line string) error) error {
	b, err := io.ReadAll(io.LimitReader(f.f, maxFile+1))
	if err != nil {
		return err
	}
	if len(b) > maxFile {
		return fmt.Errorf("%s is longer than %d bytes: it cannot be servald's; remove it", f.path, maxFile)
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	f.broken = whole < len(b) || whole == 0 // a kill in the middle of the last line, or a new file
	var bad error
	for text := range bytes.Lines(b[:whole]) {
		f.lines++
		line := strings.TrimSuffix(string(text), "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := restore(line); err != nil && bad == nil {
			bad = fmt.Errorf("line %d: %w", f.lines, err)
		}
	}
	if bad != nil {
		kept := f.path + ".bad"
		f.log.Warn("the file of virtual addresses has lines that make no sense; they are left out", "file", f.path, "first", bad, "kept", kept)
		f.broken = true
		return wholefile.Replace(kept, b)
	}
	return nil
}

// restore takes over a line of the file.
func (p *Pool) restore(line string) error {
	words := strings.Split(line, " ")
	if len(words) != 3 {
		return fmt.Errorf("%.80q is not an address, a service and a number", line)
	}
	v4, err := netip.ParseAddr(words[0])
	if err != nil || !v4.Is4() {
		return fmt.Errorf("%.80q is no IPv4 address", words[0])
	}
	name, err := sal.ParseName(words[1])
	if err != nil {
		return err
	}
	if name.IsWildcard() {
		return fmt.Errorf("%s is no service", name)
	}
	age, err := strconv.ParseUint(words[2], 10, 32)
	if err != nil {
		return fmt.Errorf("%.80q is no number of seconds", words[2])
	}
	if !p.serves(v4) {
		return nil // the prefix has changed
	}
	if old := p.byName[name]; old != nil {
		p.forget(old)
	}
	if old := p.byAddr[v4]; old != nil {
		p.forget(old)
	}
	e := p.entry(name)
	e.used = p.now().Add(-time.Duration(age) * time.Second)
	p.assign(e, v4)
	e.stored = age == 0
	p.restInOrder(e)
	return nil
}

// serves reports whether an address is one for services.
func (p *Pool) serves(v4 netip.Addr) bool {
	return p.prefix.Contains(v4) && v4.Compare(at(p.prefix, 2)) >= 0 && v4.Compare(at(p.prefix, uint32(p.usable())+1)) <= 0
}

// restInOrder is rest for an entry that was used a while ago.
func (p *Pool) restInOrder(e *entry) {
	e.in = &p.given
	for at := p.given.Back(); at != nil; at = at.Prev() {
		if !at.Value.(*entry).used.After(e.used) {
			e.place = p.given.InsertAfter(e, at)
			return
		}
	}
	e.place = p.given.PushFront(e)
}

// append stores that an entry is in use now.
func (p *Pool) append(e *entry) {
	if p.file == nil {
		return
	}
	f := p.file
	if f.broken || f.lines > 2*p.count+1000 {
		if !p.now().Before(f.retry) {
			p.rewrite()
		}
		return
	}
	e.stored = true
	line := line(e, 0)
	if n, err := f.f.WriteString(line); err != nil || n != len(line) {
		e.stored = false
		p.failed(err)
		return
	}
	f.lines++
}

func line(e *entry, age time.Duration) string {
	return fmt.Sprintf("%v %v %d\n", e.v4, e.name, int64(age/time.Second))
}

// failed notes that the file could not be written. The next time, all of it will be.
func (p *Pool) failed(err error) {
	if p.file.retry.IsZero() {
		p.log.Warn("virtual addresses could not be stored; after a restart they may be others", "file", p.file.path, "err", err)
	}
	p.file.broken, p.file.retry = true, p.now().Add(retryEvery)
}

// rewrite replaces the file by one with a line for each address.
func (p *Pool) rewrite() error {
	var b bytes.Buffer
	b.WriteString(header)
	now := p.now()
	lines := 1
	write := func(e *entry) {
		age := max(now.Sub(e.used), 0)
		if e.held > 0 {
			age = 0
		}
		e.stored = age < time.Second
		b.WriteString(line(e, age))
		lines++
	}
	for at := p.given.Front(); at != nil; at = at.Next() {
		write(at.Value.(*entry))
	}
	for _, e := range p.byName { // in no list
		if e.in == nil && e.v4.IsValid() {
			write(e)
		}
	}
	f := p.file
	if err := wholefile.Replace(f.path, b.Bytes()); err != nil {
		p.failed(err)
		return err
	}
	fresh, err := openFile(f.path, f.log)
	if err != nil {
		p.failed(err)
		return err
	}
	f.close()
	fresh.lines = lines
	p.file = fresh
	return nil
}
