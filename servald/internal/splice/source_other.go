//go:build !linux

package splice

import (
	"io"
	"net"
)

// newSource is only there on Linux.
func newSource(net.Conn) (io.Reader, bool) { return nil, false }
