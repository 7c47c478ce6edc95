//go:build linux

package traffic

import (
	"io"
	"net"
	"sync"
)

// server serves every kind of connection and keeps their records.
type server struct {
	mu   sync.Mutex
	kept []*served
}

// served is a connection and its record.
type served struct {
	conn net.Conn
	rec  *recorder
}

func (s *server) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go s.serve(conn)
	}
}

// serve leaves the connection open at the end: who closes first could cut off
// the end of what the other still reads.
func (s *server) serve(conn net.Conn) {
	op := make([]byte, 1)
	if _, err := io.ReadFull(conn, op); err != nil {
		return
	}
	kind, err := kindOf(op[0])
	if err != nil {
		conn.Close()
		return
	}
	if kind == Idle {
		echo(conn)
		return
	}
	rec := newRecorder(seedDown, seedUp)
	s.mu.Lock()
	s.kept = append(s.kept, &served{conn, rec})
	s.mu.Unlock()
	switch kind {
	case Down:
		stop := make(chan struct{})
		go func() {
			receive(conn, rec)
			close(stop)
		}()
		send(conn, rec, stop)
	case Up:
		receive(conn, rec)
		end(conn, rec)
	case Ask:
		answer(conn, rec)
	}
}

// records returns what is known of all connections.
func (s *server) records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Record{}
	for _, k := range s.kept {
		all = append(all, k.report())
	}
	return all
}

func (s *served) report() Record {
	rec := s.rec.report()
	rec.Detail = detail(s.conn)
	return rec
}

func detail(c net.Conn) string {
	if d, ok := c.(Detailer); ok {
		return d.Detail()
	}
	return ""
}
