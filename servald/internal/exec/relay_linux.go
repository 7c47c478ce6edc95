package exec

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// maxRelayed bounds the clients of one UDP port.
const maxRelayed = 256

// relayIdle is how long a client of a UDP port is kept that is silent.
const relayIdle = time.Minute

// relay hands datagrams on, with a socket on the other side for each client.
func (m *mirror) relay(conn net.PacketConn, dial func() (net.Conn, error)) *opening {
	ended := make(chan struct{})
	m.wg.Go(func() {
		defer close(ended)
		r := relay{conn: conn, dial: dial, clients: make(map[string]net.Conn)}
		r.run()
	})
	return &opening{func() { conn.Close() }, ended}
}

type relay struct {
	conn net.PacketConn
	dial func() (net.Conn, error)

	mu      sync.Mutex
	clients map[string]net.Conn
	wg      sync.WaitGroup
}

func (r *relay) run() {
	defer r.wg.Wait()
	defer r.closeAll()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := r.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
				return
			}
			continue // of an earlier datagram
		}
		if c := r.client(from); c != nil {
			c.Write(buf[:n])
		}
	}
}

// client returns the socket for a client, a new one if there is room.
func (r *relay) client(from net.Addr) net.Conn {
	key := from.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[key]; c != nil {
		c.SetReadDeadline(time.Now().Add(relayIdle))
		return c
	}
	if len(r.clients) >= maxRelayed {
		return nil
	}
	c, err := r.dial()
	if err != nil {
		return nil
	}
	c.SetReadDeadline(time.Now().Add(relayIdle))
	r.clients[key] = c
	r.wg.Go(func() {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			c.Close()
			delete(r.clients, key)
		}()
		buf := make([]byte, 1<<16)
		for {
			n, err := c.Read(buf)
			if errors.Is(err, syscall.ECONNREFUSED) {
				continue // nobody was there for one: the next may find somebody
			}
			if err != nil {
				return
			}
			r.conn.WriteTo(buf[:n], from)
		}
	})
	return c
}

func (r *relay) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		c.Close()
	}
}
