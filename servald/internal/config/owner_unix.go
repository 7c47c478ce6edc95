//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwner refuses a file that somebody else could have written.
func checkOwner(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write to %s, which says what to run; run chmod go-w %s", path, path)
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d; give it to root or to the user that servald runs as with chown", path, owner)
	}
	return nil
}

// checkSecret refuses a file that others may read.
func checkSecret(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o044 != 0 {
		return fmt.Errorf("%s holds passwords and others may read it; run chmod 600 %s", path, path)
	}
	return nil
}
