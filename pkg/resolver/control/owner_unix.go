//go:build unix

package control

import (
	"fmt"
	"os"
	"syscall"
)

// checkOwner refuses a directory that somebody else could have put a socket in:
// in a shared directory for temporary files anybody can make ours first.
func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if owner != os.Getuid() && owner != 0 {
		return fmt.Errorf("control: %s belongs to user %d; remove it or set SERVAL_SOCKET to a path of your own", dir, owner)
	}
	if mode := info.Mode(); mode.Perm()&0o022 != 0 {
		return fmt.Errorf("control: others may write to %s; run chmod 700 %s or set SERVAL_SOCKET to a path of your own", dir, dir)
	}
	return nil
}
