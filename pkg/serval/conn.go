package serval

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/netstack"
	"github.com/serval-net/serval/pkg/identity"
)

// Conn is a connection to one instance of a service: a net.Conn over a set of
// flows. A stream connection reads and writes bytes; one dialled with network
// "udp" sends and receives whole datagrams that may get lost. All methods are
// safe for concurrent use.
type Conn struct {
	link *link
	tcp  *netstack.Conn // nil for datagrams
}

var _ net.Conn = (*Conn)(nil)

func (c *Conn) wrap(op string, err error) error { return c.link.wrap(op, err) }

// wrap makes the errors of a connection say which. io.EOF stays itself.
func (l *link) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var oe *OpError
	if errors.As(err, &oe) {
		return err
	}
	service := l.remote.Service
	if service == "" {
		service = l.remote.String()
	}
	return &OpError{Op: op, Service: service, Err: err}
}

// cause turns what ended a connection into one of the package's sentinels.
func cause(err error) error {
	var reset *flowset.ResetError
	switch {
	case err == nil:
		return ErrClosed
	case errors.Is(err, flowset.ErrTimedOut):
		return because(ErrTimeout, "%v", err)
	case errors.As(err, &reset):
		if reset.Code == flowset.ResetNotAuthorized {
			return because(ErrNotAuthorized, "%v", reset)
		}
		return because(ErrReset, "%v", reset)
	}
	return err
}

// Read reads the next bytes, or for datagrams the next datagram, of which what
// does not fit b is lost.
func (c *Conn) Read(b []byte) (int, error) {
	if c.tcp != nil {
		n, err := c.tcp.Read(b)
		return n, c.wrap("read", err)
	}
	n, _, err := c.ReadPort(b)
	return n, err
}

// Write writes b, or sends it as one datagram.
func (c *Conn) Write(b []byte) (int, error) {
	if c.tcp != nil {
		n, err := c.tcp.Write(b)
		return n, c.wrap("write", err)
	}
	return c.WritePort(b, 0)
}

// ReadFrom implements io.ReaderFrom.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if c.tcp == nil {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	n, err := c.tcp.ReadFrom(r)
	return n, c.wrap("write", err)
}

// WriteTo implements io.WriterTo.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	if c.tcp == nil {
		return io.Copy(w, struct{ io.Reader }{c})
	}
	n, err := c.tcp.WriteTo(w)
	return n, c.wrap("read", err)
}

// Close closes both directions. What was written is still delivered, in the
// background; a program about to exit calls Node.Close, which waits for that.
func (c *Conn) Close() error {
	c.link.closed.Store(true)
	c.link.ending.Store(true)
	if c.tcp != nil {
		return c.wrap("close", c.tcp.Close())
	}
	c.link.abort(flowset.ResetAborted, "closed")
	return nil
}

// CloseWrite ends the outgoing stream: the peer reads io.EOF after the last
// byte. Reading goes on.
func (c *Conn) CloseWrite() error {
	if c.tcp == nil {
		return c.wrap("close", errors.ErrUnsupported)
	}
	c.link.ending.Store(true)
	return c.wrap("close", c.tcp.CloseWrite())
}

// CloseRead drops what is unread and whatever else arrives.
func (c *Conn) CloseRead() error {
	if c.tcp == nil {
		return c.wrap("close", errors.ErrUnsupported)
	}
	return c.wrap("close", c.tcp.CloseRead())
}

// LocalAddr returns the *Addr of this end.
func (c *Conn) LocalAddr() net.Addr { return &c.link.local }

// RemoteAddr returns the *Addr of the service and instance at the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.link.remoteAddr() }

// PeerIdentity returns who is at the other end, as its membership certificate
// says; it was verified before the connection opened.
func (c *Conn) PeerIdentity() identity.Peer { return c.link.peer }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. Errors satisfy os.ErrDeadlineExceeded.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.tcp != nil {
		return c.wrap("set", c.tcp.SetReadDeadline(t))
	}
	c.link.inbox.deadline.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn. Writing datagrams never waits.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.tcp != nil {
		return c.wrap("set", c.tcp.SetWriteDeadline(t))
	}
	return nil
}

// MaxDatagram is the longest datagram that can be sent now in one packet, in bytes, its
// port not counted.
func (c *Conn) MaxDatagram() int {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	n := c.link.set.MaxDatagram()
	if c.link.ports {
		n -= portLen
	}
	return n
}
