//go:build !linux && !darwin && !freebsd && !windows

package underlay

// setOptions has nothing to set: the plain socket checks the interface's MTU
// itself.
func setOptions(uintptr, bool) {}

func tooBig(error) bool { return false }
