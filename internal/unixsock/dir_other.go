//go:build !unix

package unixsock

import "os"

// Owner returns this process's user: each has a directory for temporary files.
func Owner(dir string) (uid int, err error) {
	_, err = os.Stat(dir)
	return os.Geteuid(), err
}

// CheckDir refuses only what is not there.
func CheckDir(dir string) error {
	_, err := os.Stat(dir)
	return err
}
