//go:build !linux

package door

import "net"

// process names the program at the other end of a connection within this host; "" if
// that cannot be told.
func process(net.Conn) string { return "" }
