package netstack

import "io"

// writeToSocket is not there on Windows, whose sockets are not written to without waiting.
func (c *Conn) writeToSocket(io.Writer) (int64, bool, error) { return 0, false, nil }
