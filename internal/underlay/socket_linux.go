package underlay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a UDP socket with batched system calls. They never block, hence
// go past the Go scheduler (RawSyscall), which saves it from handing the
// processor to another thread in the middle of a bulk transfer.
type socket struct {
	udp     *UDP
	conn    *net.UDPConn
	raw     syscall.RawConn
	local   netip.AddrPort
	mtu     payloadMTU
	egress  egress
	gso     atomic.Bool // cleared when the device turns out not to support it
	canGSO  bool        // the kernel can
	gro     bool
	senders sync.Pool // of *sender
	report  atomic.Pointer[func(Unreachable)]
	pending atomic.Bool // a sender saw an error that the reader may not see
	closing atomic.Bool
	done    chan struct{} // closed when the reader has ended

	gather    gather
	gathering sync.WaitGroup
}

func openSocket(u *UDP, c *net.UDPConn, h Handler) (Socket, error) {
	s, err := newSocket(u, c)
	if err != nil {
		return nil, err
	}
	u.add(s)
	s.gather.wake = make(chan struct{}, 1)
	s.gathering.Go(s.runGather)
	r := newReader(s, h)
	go func() {
		defer close(s.done)
		r.run()
	}()
	return s, nil
}

// newSocket returns a socket without its reader.
func newSocket(u *UDP, c *net.UDPConn) (*socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	s := &socket{udp: u, conn: c, raw: raw, local: localAddr(c), done: make(chan struct{})}
	s.mtu.init(s.local.Addr())
	s.egress.seen.Store(1)
	err = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		s.canGSO = err == nil && u.disable&segmentOut == 0
		s.gso.Store(s.canGSO)
		s.gro = u.disable&mergeIn == 0 &&
			unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	s.senders.New = func() any { return newSender(s) }
	return s, nil
}

func (s *socket) Send(buf []byte, seg int, to netip.AddrPort) error {
	if len(buf) == 0 {
		return nil
	}
	if seg <= 0 || seg > len(buf) {
		seg = len(buf)
	}
	if seg > MaxPayload {
		return ErrTooBig
	}
	s.flush()
	return s.sendNow(buf, seg, to)
}

func (s *socket) sendNow(buf []byte, seg int, to netip.AddrPort) error {
	snd := s.senders.Get().(*sender)
	err := snd.send(buf, seg, to)
	s.senders.Put(snd)
	return err
}

func (s *socket) LocalAddr() netip.AddrPort { return s.local }
func (s *socket) MaxBatch() int             { return MaxPayload }
func (s *socket) MTU() int                  { return s.mtu.get() }

// refresh implements refresher. Another interface may support segmentation.
func (s *socket) refresh() {
	s.mtu.forget()
	s.egress.forget()
	s.gso.Store(s.canGSO)
}

func (s *socket) Close() error {
	s.udp.remove(s)
	s.closing.Store(true)
	s.egress.mu.Lock()
	s.unbind()
	s.egress.mu.Unlock()
	err := s.conn.Close() // also waits until no call uses the descriptor
	<-s.done
	s.gathering.Wait()
	return err
}

func tooBig(err error) bool { return errors.Is(err, unix.EMSGSIZE) }
