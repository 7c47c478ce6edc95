package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// List is what to send: files, and directories with what is below them.
type List struct {
	Bytes   int64    // of all files
	Skipped []string // symbolic links below a directory, sockets, devices: they are not sent

	items []item
}

type item struct {
	entry
	source string // path on this system
}

// Scan lists the given paths. Each is sent under its last element, and a symbolic
// link that is named itself is followed.
func Scan(paths ...string) (*List, error) {
	l := &List{}
	names := make(map[string]string)
	for _, p := range paths {
		abs, err := filepath.Abs(p) // so that "." and ".." have a name
		if err != nil {
			return nil, err
		}
		name := filepath.Base(abs)
		if other, ok := names[name]; ok {
			return nil, fmt.Errorf("%s and %s would both arrive as %q: send them one by one", other, p, name)
		}
		names[name] = p
		if err := l.add(abs, name); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *List) add(source, name string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a directory: it cannot be sent", source)
		}
		l.append(source, name, info)
		return nil
	}
	root, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if !d.IsDir() && !d.Type().IsRegular() {
			l.Skipped = append(l.Skipped, p)
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed since the directory was read
		}
		if err != nil {
			return err
		}
		l.append(p, path.Join(name, filepath.ToSlash(rel)), info)
		return nil
	})
}

func (l *List) append(source, name string, info fs.FileInfo) {
	e := entry{Path: name, Dir: info.IsDir(), Mode: info.Mode().Perm(), ModTime: info.ModTime().UnixNano()}
	if !e.Dir {
		e.Size = info.Size()
		l.Bytes += e.Size
	}
	l.items = append(l.items, item{e, source})
}
