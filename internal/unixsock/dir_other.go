//go:build !unix

package unixsock

import "os"

// Owner returns this process's user: each has a directory for temporary files.
func Owner(dir string) (uid int, err error) {
	_, err = os.Stat(dir)
	return os.Geteuid(), err
}

// isRefused takes any error for that nobody listens: not all systems here have a code of
// their own for it.
func isRefused(error) bool { return true }

// CheckDir refuses only what is not there.
func CheckDir(dir string) error {
	_, err := os.Stat(dir)
	return err
}
