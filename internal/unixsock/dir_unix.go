//go:build unix

package unixsock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Owner returns the user that a directory belongs to. It refuses one that
// others than that user may write to.
func Owner(dir string) (uid int, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return 0, fmt.Errorf("others may write to %s; run chmod 700 %s", dir, dir)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid), nil
}

// isRefused reports whether an error of dialling is that nobody listens.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// CheckDir refuses a directory that somebody else could have put a socket in:
// in a shared directory for temporary files anybody can make ours first.
func CheckDir(dir string) error {
	owner, err := Owner(dir)
	if err != nil {
		return err
	}
	if owner != os.Getuid() && owner != 0 {
		return fmt.Errorf("%s belongs to user %d; remove it", dir, owner)
	}
	return nil
}
