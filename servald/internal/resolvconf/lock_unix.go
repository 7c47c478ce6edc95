//go:build unix

package resolvconf

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock marks an open file as that of a servald that runs: others leave it alone until
// it is closed, or this process ends. It reports whether nobody else has marked it.
func lock(f *os.File) bool {
	return !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}
