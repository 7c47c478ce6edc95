package serval

import "github.com/serval-net/serval/internal/flowset"

// Abort ends the connection at once, as a TCP socket with SO_LINGER 0 does: what was
// written and has not arrived is dropped, and the peer's reads and writes fail with
// ErrReset. A proxy does so to pass on a reset.
func (c *Conn) Abort() error {
	c.link.closed.Store(true)
	c.link.ending.Store(true)
	c.link.abort(flowset.ResetAborted, "aborted")
	if c.tcp != nil {
		c.tcp.Close()
	}
	return nil
}

// Datagrams reports whether the connection carries datagrams, and not a stream.
func (c *Conn) Datagrams() bool { return c.tcp == nil }
