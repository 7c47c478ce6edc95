// Package wholefile replaces files such that they are always whole: those that servald
// needs after it was killed, or after the disk was full.
package wholefile

import (
	"errors"
	"io/fs"
	"os"
)

// Replace puts a file with b in the place of another in one step, readable by its owner
// only, or leaves the other as it is if that fails. It follows no symbolic link. What it
// leaves behind if it is killed, path with ".new" at its end, the next call removes.
func Replace(path string, b []byte) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A new file, so that no mode of an old one opens it to others.
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		os.Remove(fresh) // it may be what fills the disk
	}
	return err
}
