package resolvconf

import (
	"context"
	"os"
	"slices"
	"time"
)

// claim is what a servald that lives holds locked, so that others leave it alone: the
// file that was there before, from before it is replaced, and the one in its place.
type claim []*os.File

// claimNow claims what is at path, and what is kept for it. It reports whether nobody
// else has claimed either.
func claimNow(path string) (c claim, ok bool) {
	names := []string{path, backupOf(path)}
	for range 10 {
		for _, p := range names {
			if !c.add(p) {
				c.release()
				return nil, false
			}
		}
		if !slices.ContainsFunc(names, func(p string) bool { return !c.has(p) }) {
			return c, true
		}
		c.release() // somebody replaced one before it was locked
	}
	return nil, false
}

// has reports whether a file is claimed, or not there.
func (c claim) has(path string) bool {
	info, err := os.Stat(path)
	return err != nil || slices.ContainsFunc(c, func(f *os.File) bool {
		same, err := f.Stat()
		return err == nil && os.SameFile(info, same)
	})
}

// claimFor is claimNow with patience: who only looks whether there is something to
// recover is soon done.
func claimFor(ctx context.Context, path string, patience time.Duration) (c claim, ok bool) {
	for end := time.Now().Add(patience); ; {
		if c, ok = claimNow(path); ok || time.Now().After(end) {
			return c, ok
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, false
		}
	}
}

// add claims one file more, if it is there. Two names of one file, which is what a kill
// leaves early on, count once.
func (c *claim) add(path string) bool {
	if c.has(path) {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return true // it has just gone
	}
	if !lock(f) {
		f.Close()
		return false
	}
	*c = append(*c, f)
	return true
}

func (c *claim) release() {
	for _, f := range *c {
		f.Close()
	}
	*c = nil
}
