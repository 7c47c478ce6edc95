package control

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/serval-net/serval/internal/unixsock"
)

const socketName = "servald.sock"

// SocketPath returns where the daemon of this user listens: $SERVAL_SOCKET, else
// serval/servald.sock in $XDG_RUNTIME_DIR or, for root, in /run, else
// serval-UID/servald.sock in the directory for temporary files.
func SocketPath() string {
	if path := os.Getenv("SERVAL_SOCKET"); path != "" {
		return path
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "serval", socketName)
	}
	if os.Getuid() == 0 {
		return systemSocket
	}
	return filepath.Join(os.TempDir(), "serval-"+strconv.Itoa(os.Getuid()), socketName)
}

// systemSocket is that of a daemon for the whole host.
var systemSocket = filepath.Join("/run", "serval", socketName)

// FindSocket returns the socket of a daemon that this process can use: that of
// its user or else of the host. It is false if there is none. Whether somebody
// answers there only a request can tell.
func FindSocket() (path string, ok bool) {
	for _, path := range []string{SocketPath(), systemSocket} {
		if _, err := os.Stat(path); err == nil && unixsock.CheckDir(filepath.Dir(path)) == nil {
			return path, true
		}
		if os.Getenv("SERVAL_SOCKET") != "" {
			break // asked for this one
		}
	}
	return "", false
}

// Listen opens a daemon's socket, for its user only: mode 0600, in a directory
// of mode 0700 that it makes. A socket that a daemon left behind when it was
// killed is replaced; that of one that lives is not.
func Listen(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control: no directory for the socket, set SERVAL_SOCKET to a path that can be made: %w", err)
	}
	if err := unixsock.CheckDir(dir); err != nil {
		return nil, fmt.Errorf("control: %w or set SERVAL_SOCKET to a path of your own", err)
	}
	listens, err := unixsock.RemoveStale(path)
	if err != nil {
		return nil, fmt.Errorf("control: %w (SERVAL_SOCKET says which)", err)
	}
	if listens {
		return nil, fmt.Errorf("control: a daemon is running at %s already; stop it or set SERVAL_SOCKET", path)
	}
	l, err := unixsock.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("control: cannot listen at %s, set SERVAL_SOCKET to another path: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control: cannot close %s to other users: %w", path, err)
	}
	return l, nil
}
