package mark

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Control is for net.Dialer. Without the right to mark sockets there is no right to
// capture connections either, so that failing does no harm.
func Control(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, Value) })
}
