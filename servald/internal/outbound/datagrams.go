package outbound

import (
	"context"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

// Datagrams carries one client's datagrams to and from an instance of a service. Its
// methods are safe for concurrent use.
type Datagrams interface {
	// WriteTo sends b to a port of the service. It does not wait; what cannot be sent
	// now is lost, as with UDP. What is too long satisfies errors.Is with
	// syscall.EMSGSIZE.
	WriteTo(b []byte, port uint16) (int, error)

	// ReadFrom waits for the next datagram, and returns which port of the service it
	// came from. What does not fit b is lost.
	ReadFrom(b []byte) (n int, port uint16, err error)

	// SetReadDeadline bounds how long ReadFrom waits.
	SetReadDeadline(t time.Time) error

	// Close ends it. ReadFrom returns an error then.
	Close() error
}

// Datagrams opens a way for a client's datagrams to an instance of a service, which the
// client's streams share. The port is the one asked for first. Errors are those of
// Stream.
func (o *Outbound) Datagrams(ctx context.Context, c Client, service string, port uint16) (Datagrams, error) {
	opened, err := o.dial(ctx, c, "udp", service, port)
	if err != nil {
		return nil, err
	}
	return &datagrams{conn: opened}, nil
}

// datagrams is a connection for datagrams.
type datagrams struct {
	*conn
	silence silence
}

// WriteTo implements Datagrams; it hides that of streams. When the instance is dead, it
// ends the connection, so that the next datagrams find another.
func (d *datagrams) WriteTo(b []byte, port uint16) (int, error) {
	if d.silence.sent(time.Now(), func() time.Duration { return d.Stats().SinceLastPacket }) {
		d.Abort()
		return 0, &serval.OpError{Op: "write", Service: d.RemoteAddr().String(), Err: serval.ErrTimeout}
	}
	return d.WritePort(b, port)
}

// ReadFrom implements Datagrams.
func (d *datagrams) ReadFrom(b []byte) (int, uint16, error) { return d.ReadPort(b) }
