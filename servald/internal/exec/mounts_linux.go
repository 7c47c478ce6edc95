package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/resolvconf"
)

const (
	resolvPath   = "/etc/resolv.conf"
	nsswitchPath = "/etc/nsswitch.conf"
)

// caches are where daemons that remember host names for all listen.
var caches = []string{"/run/nscd", "/var/run/nscd"}

// userFiles are files of root that OpenSSH reads only if they are root's or the
// user's: in a user namespace they seem to be nobody's.
var userFiles = []string{"/etc/ssh/ssh_config.d/*.conf", "/etc/crypto-policies/back-ends/openssh.config"}

// setUpMounts puts files in front of the host's, for the program only: so that names
// are asked of server. It runs in the namespaces. users says that they belong to a
// user namespace.
//
// The files are in a memory file system that no path leads to in the end.
func setUpMounts(server netip.Addr, users bool) error {
	old, err := os.ReadFile(resolvPath)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this host has no %s, which would tell the program where to look up names: make one, an empty one will do", resolvPath)
	}
	if err != nil {
		return err
	}
	files := map[string][]byte{resolvPath: resolvconf.Render([]netip.Addr{server}, old)}
	if b, err := os.ReadFile(nsswitchPath); err == nil {
		files[nsswitchPath] = nsswitchConf(b)
	}
	if users {
		for _, pattern := range userFiles {
			paths, _ := filepath.Glob(pattern)
			for _, path := range paths {
				if b, err := os.ReadFile(path); err == nil {
					files[path] = b
				}
			}
		}
	}
	// In place of each symbolic link, what it leads to: some read that.
	targets := make(map[string][]byte)
	for path, content := range files {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			targets[target] = content
		}
	}

	dir, err := mountMemory()
	if err != nil {
		return err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	number := 0
	for target, content := range targets {
		file := filepath.Join(dir, fmt.Sprint(number))
		number++
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
		os.Chmod(file, 0o644) // whatever the umask
		if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("putting a file in front of %s: %w", target, err)
		}
	}
	for _, path := range caches {
		empty := filepath.Join(dir, "empty")
		if err := os.Mkdir(empty, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if err := unix.Mount(empty, path, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("hiding %s: %w", path, err)
			}
		}
	}
	return nil
}

// mountMemory mounts an empty file system somewhere, for a moment.
func mountMemory() (dir string, err error) {
	for _, dir := range []string{"/tmp", "/mnt", "/run", "/var", "/proc"} {
		if info, serr := os.Stat(dir); serr != nil || !info.IsDir() {
			continue
		}
		if err = unix.Mount("servald", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "size=1m,mode=0755"); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no file system in memory can be mounted: %w", err)
}
