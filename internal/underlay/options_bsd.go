//go:build darwin || freebsd

package underlay

import (
	"errors"

	"golang.org/x/sys/unix"
)

// setOptions forbids fragmentation where the system lets it.
func setOptions(fd uintptr, is4 bool) {
	if is4 {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
	} else {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
	}
}

func tooBig(err error) bool { return errors.Is(err, unix.EMSGSIZE) }
