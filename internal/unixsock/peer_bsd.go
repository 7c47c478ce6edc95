//go:build darwin || freebsd

package unixsock

import "golang.org/x/sys/unix"

// solLocal is SOL_LOCAL, the level of options of Unix sockets.
const solLocal = 0

func peer(fd uintptr) (uid int, ok bool, err error) {
	cred, err := unix.GetsockoptXucred(int(fd), solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, false, err
	}
	return int(cred.Uid), true, nil
}
