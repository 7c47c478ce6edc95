package nodectl

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/serval-net/serval/internal/unixsock"
)

// Dir returns the directory for the sockets of nodes that use the servald at a
// control socket, or would.
func Dir(controlSocket string) string { return filepath.Join(filepath.Dir(controlSocket), "nodes") }

const (
	suffix = ".sock"
	// fresh ends the name of a socket that is not listened on yet. Sockets get
	// their name when they are, so that one that refuses is one that is dead.
	fresh = ".new"
)

// listen opens a socket of its own in dir, which it makes.
func listen(dir string) (l *unixsock.Listener, path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	if err := unixsock.CheckDir(dir); err != nil {
		return nil, "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("%d-%s%s", os.Getpid(), random(), suffix))
	if l, err = unixsock.Listen(path + fresh); err != nil {
		return nil, "", err
	}
	l.SetUnlinkOnClose(false) // it does not know of the new name
	if err = os.Chmod(path+fresh, 0o600); err == nil {
		err = os.Rename(path+fresh, path)
	}
	if err != nil {
		l.Close()
		os.Remove(path + fresh)
		return nil, "", err
	}
	return l, path, nil
}

func random() string {
	var b [5]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// sweep removes the sockets of processes that died. To be quick it asks only
// those whose process ID is free; a process in another container has one that
// means nothing here.
func sweep(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		name, isFresh := strings.CutSuffix(e.Name(), fresh)
		if !strings.HasSuffix(name, suffix) || alive(name) {
			continue
		}
		if info, err := e.Info(); isFresh && (err != nil || time.Since(info.ModTime()) < time.Minute) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			continue
		}
		if dead(path, err) {
			os.Remove(path)
		}
	}
}

// dead reports whether nobody listens at a socket any more, as err of a dial says.
func dead(path string, err error) bool {
	info, serr := os.Lstat(path)
	if serr != nil {
		return errors.Is(serr, fs.ErrNotExist)
	}
	return info.Mode()&fs.ModeSocket != 0 && errors.Is(err, syscall.ECONNREFUSED)
}

// alive reports whether the process that a socket is named after may live.
func alive(name string) bool {
	number, _, _ := strings.Cut(name, "-")
	pid, err := strconv.Atoi(number)
	return err == nil && processExists(pid)
}
