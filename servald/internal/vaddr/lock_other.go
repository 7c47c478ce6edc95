//go:build !unix

package vaddr

import "os"

const noFollow = 0

// lock does nothing where files cannot be locked.
func lock(*os.File) error { return nil }
