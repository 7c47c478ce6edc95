package peer

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// quicGo is quic-go, one connection with one stream per Dial. Segmentation
// offload is quic-go's own default; windows are large enough for every path of
// the benchmark.
type quicGo struct {
	once sync.Once
	from *quic.Transport // one socket for all that the process dials
	err  error
}

func quicConfig() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow:     16 << 20,
		MaxStreamReceiveWindow:         64 << 20,
		InitialConnectionReceiveWindow: 16 << 20,
		MaxConnectionReceiveWindow:     64 << 20,
		MaxIdleTimeout:                 5 * time.Minute,
	}
}

func (q *quicGo) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	q.once.Do(func() {
		var socket *net.UDPConn
		if socket, q.err = net.ListenUDP("udp4", nil); q.err == nil {
			q.from = &quic.Transport{Conn: socket}
		}
	})
	if q.err != nil {
		return nil, q.err
	}
	conn, err := q.from.Dial(ctx, net.UDPAddrFromAddrPort(addr), mutual(), quicConfig())
	if err != nil {
		return nil, err
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		conn.CloseWithError(0, "")
		return nil, err
	}
	return quicConn{stream, conn}, nil
}

func (q *quicGo) Listen(addr netip.AddrPort) (net.Listener, error) {
	l, err := quic.ListenAddr(addr.String(), mutual(), quicConfig())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ql := &quicListener{Listener: l, ready: make(chan net.Conn), ctx: ctx, cancel: cancel}
	go ql.accept()
	return ql, nil
}

// quicListener accepts connections once their first stream is there.
type quicListener struct {
	*quic.Listener
	ready  chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc
}

func (l *quicListener) accept() {
	defer l.cancel()
	for {
		conn, err := l.Listener.Accept(l.ctx)
		if err != nil {
			return
		}
		go func() {
			stream, err := conn.AcceptStream(l.ctx)
			if err != nil {
				return
			}
			select {
			case l.ready <- quicConn{stream, conn}:
			case <-l.ctx.Done():
			}
		}()
	}
}

func (l *quicListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *quicListener) Close() error {
	l.cancel()
	return l.Listener.Close()
}

// quicConn is a stream that is alone on its connection.
type quicConn struct {
	*quic.Stream
	conn *quic.Conn
}

func (c quicConn) Close() error         { return c.conn.CloseWithError(0, "") }
func (c quicConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c quicConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }
