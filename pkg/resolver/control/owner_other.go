//go:build !unix

package control

// checkOwner accepts all: each user has a directory for temporary files.
func checkOwner(string) error { return nil }
