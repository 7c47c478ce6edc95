//go:build !linux

package expose

// listensUDP cannot be found out.
func listensUDP(uint16) (listens, known bool) { return false, false }
