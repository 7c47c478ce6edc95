package underlay

import (
	"errors"

	"golang.org/x/sys/windows"
)

const (
	ipDontFragment = 14 // IP_DONTFRAGMENT, ws2ipdef.h
	ipv6DontFrag   = 14 // IPV6_DONTFRAG
)

// setOptions forbids fragmentation where the system lets it.
func setOptions(fd uintptr, is4 bool) {
	if is4 {
		windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
	} else {
		windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, 1)
	}
}

func tooBig(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
