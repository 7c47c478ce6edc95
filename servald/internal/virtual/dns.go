package virtual

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/serval-net/serval/servald/internal/tun"
)

// maxQuestions is how many questions of one client wait for an answer, and how many
// answers wait to be sent. More get lost.
const maxQuestions = 32

// dnsDatagrams is one client's exchange with DNS.
type dnsDatagrams struct {
	dns     DNS
	ctx     context.Context
	end     context.CancelFunc
	asked   chan struct{} // a token for each question that waits
	answers chan []byte
	wg      sync.WaitGroup

	mu       sync.Mutex
	deadline *time.Timer
	late     chan struct{} // closed when the deadline has passed
}

func newDNSDatagrams(dns DNS) tun.Datagrams {
	d := &dnsDatagrams{
		dns: dns, asked: make(chan struct{}, maxQuestions), answers: make(chan []byte, maxQuestions),
		late: make(chan struct{}),
	}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// WriteTo implements tun.Datagrams: it asks.
func (d *dnsDatagrams) WriteTo(b []byte, port uint16) (int, error) {
	if port != dnsPort {
		return 0, syscall.ECONNREFUSED
	}
	d.mu.Lock() // no question is begun once Close waits for them
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return 0, net.ErrClosed
	}
	select {
	case d.asked <- struct{}{}:
	default:
		return len(b), nil
	}
	query := append([]byte(nil), b...)
	d.wg.Go(func() {
		defer func() { <-d.asked }()
		answer := d.dns.ServePacket(d.ctx, query, false)
		if answer == nil {
			return
		}
		select {
		case d.answers <- answer:
		default:
		}
	})
	return len(b), nil
}

// ReadFrom implements tun.Datagrams.
func (d *dnsDatagrams) ReadFrom(b []byte) (int, uint16, error) {
	d.mu.Lock()
	late := d.late
	d.mu.Unlock()
	select {
	case answer := <-d.answers:
		return copy(b, answer), dnsPort, nil
	case <-late:
		return 0, 0, os.ErrDeadlineExceeded
	case <-d.ctx.Done():
		return 0, 0, net.ErrClosed
	}
}

// SetReadDeadline implements tun.Datagrams. It counts for the next ReadFrom.
func (d *dnsDatagrams) SetReadDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deadline != nil {
		d.deadline.Stop()
		d.deadline = nil
	}
	late := make(chan struct{})
	d.late = late
	switch {
	case t.IsZero():
	case !time.Now().Before(t):
		close(late)
	default:
		d.deadline = time.AfterFunc(time.Until(t), func() { close(late) })
	}
	return nil
}

// Close implements tun.Datagrams, and waits for the questions under way.
func (d *dnsDatagrams) Close() error {
	d.mu.Lock()
	d.end()
	d.mu.Unlock()
	d.SetReadDeadline(time.Time{})
	d.wg.Wait()
	return nil
}

// dnsStream returns a connection from a client to DNS.
func dnsStream(dns DNS, client netip.AddrPort) net.Conn {
	questions, asked := net.Pipe()
	answered, answers := net.Pipe()
	ctx, end := context.WithCancel(context.Background())
	c := &duplex{r: answered, w: questions, end: end, remote: questions.RemoteAddr()}
	c.serving.Go(func() {
		defer end()
		dns.ServeStream(ctx, &duplex{r: asked, w: answers, end: func() {}, remote: net.TCPAddrFromAddrPort(client)})
	})
	return c
}

// duplex is a connection made of two pipes, so that each direction can end by itself.
type duplex struct {
	r, w    net.Conn
	end     func()
	remote  net.Addr
	serving sync.WaitGroup // what serves the other end
}

func (c *duplex) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c *duplex) Write(b []byte) (int, error) { return c.w.Write(b) }

// CloseWrite lets the other end read to the end.
func (c *duplex) CloseWrite() error { return c.w.Close() }

// Close ends both directions and waits for who serves the other end.
func (c *duplex) Close() error {
	c.end()
	c.w.Close()
	c.r.Close()
	c.serving.Wait()
	return nil
}

func (c *duplex) LocalAddr() net.Addr  { return c.r.LocalAddr() }
func (c *duplex) RemoteAddr() net.Addr { return c.remote }

func (c *duplex) SetReadDeadline(t time.Time) error  { return c.r.SetReadDeadline(t) }
func (c *duplex) SetWriteDeadline(t time.Time) error { return c.w.SetWriteDeadline(t) }
func (c *duplex) SetDeadline(t time.Time) error {
	c.r.SetReadDeadline(t)
	return c.w.SetWriteDeadline(t)
}
