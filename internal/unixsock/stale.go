package unixsock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"
)

// RemoveStale makes room for a socket: it removes one at which nobody listens any more,
// as processes that are killed leave them. It reports whether somebody does listen there,
// and then leaves it. What is no socket is in the way, which is an error.
func RemoveStale(path string) (listens bool, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return false, fmt.Errorf("%s is in the way and no socket; remove it or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return true, nil
	case !isRefused(err): // it may be busy, or not ours
		return false, fmt.Errorf("whether somebody listens at %s cannot be seen: %w", path, err)
	}
	return false, os.Remove(path)
}
