package nodectl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/serval-net/serval/internal/unixsock"
)

// drainedDir holds an empty file for each interface or address that is drained,
// for processes that start while it is.
const drainedDir = "drained"

// Mark notes in dir that an interface or address is drained, or is no longer:
// nodes that Serve in dir from now on avoid it. Mark before List, so that every
// node hears of it one way or the other.
func Mark(dir, what string, drained bool) error {
	if _, err := ParseTarget(what); err != nil {
		return err
	}
	marks := filepath.Join(dir, drainedDir)
	path := filepath.Join(marks, url.PathEscape(what))
	if !drained {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(marks, 0o700); err != nil {
		return fmt.Errorf("nodectl: processes that start from now on will not know that %s is drained: %w", what, err)
	}
	if err := unixsock.CheckDir(dir); err != nil {
		return fmt.Errorf("nodectl: %w", err)
	}
	return os.WriteFile(path, nil, 0o600)
}

// Marks returns what is marked as drained in dir.
func Marks(dir string) (list []string) {
	entries, _ := os.ReadDir(filepath.Join(dir, drainedDir))
	for _, e := range entries {
		what, err := url.PathUnescape(e.Name())
		if err != nil {
			continue
		}
		if _, err := ParseTarget(what); err == nil {
			list = append(list, what)
		}
	}
	return list
}

// drainMarked makes a node avoid what is marked in dir, from when it returns on.
func drainMarked(ctx context.Context, dir string, node Node) {
	for _, what := range Marks(dir) {
		avoided := make(chan struct{}, 1)
		tell := func() {
			select {
			case avoided <- struct{}{}:
			default:
			}
		}
		go func() {
			defer tell()
			node.Drain(ctx, what, func(int) { tell() })
		}()
		select {
		case <-avoided:
		case <-time.After(time.Second): // a program's start does not hang on it
		}
	}
}
