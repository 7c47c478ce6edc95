// Package unixsock keeps Unix sockets to one user: directories that nobody else
// can put a socket in, and peers whose user the kernel vouches for. The file
// mode of a socket alone is not enough, as not all systems honour it. Clients of
// the HTTP servers behind such sockets make their requests with NewRequest and Do.
package unixsock

import (
	"fmt"
	"net"
	"os"
)

// Peer returns the user at the other end of a connection over a Unix socket. ok
// is false where the system does not tell.
func Peer(c net.Conn) (uid int, ok bool, err error) {
	u, isUnix := c.(*net.UnixConn)
	if !isUnix {
		return 0, false, fmt.Errorf("unixsock: %T is no connection over a Unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	if cerr := raw.Control(func(fd uintptr) { uid, ok, err = peer(fd) }); cerr != nil {
		return 0, false, cerr
	}
	return uid, ok, err
}

// CheckPeer refuses a connection to or from a user other than root, this
// process's own and uid, which may be the same.
func CheckPeer(c net.Conn, uid int) error {
	who, ok, err := Peer(c)
	switch {
	case err != nil:
		return fmt.Errorf("unixsock: the other end's user is not known: %w", err)
	case ok && who != 0 && who != os.Geteuid() && who != uid:
		return fmt.Errorf("unixsock: user %d is at the other end", who)
	}
	return nil
}

// Listener accepts connections of this process's user and of root only, and
// closes others.
type Listener struct{ *net.UnixListener }

// Listen listens at a path.
func Listen(path string) (*Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return &Listener{l}, nil
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.UnixListener.Accept()
		if err != nil {
			return nil, err
		}
		if CheckPeer(c, os.Geteuid()) == nil {
			return c, nil
		}
		c.Close()
	}
}
