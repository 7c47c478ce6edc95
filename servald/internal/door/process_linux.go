package door

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// process names the program at the other end of a connection within this host; "" if
// that cannot be told, as with TCP.
func process(conn net.Conn) string {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ""
	}
	var peer *unix.Ucred
	raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || peer == nil || peer.Pid == 0 {
		return ""
	}
	return "process " + strconv.Itoa(int(peer.Pid))
}
