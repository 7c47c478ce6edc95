package exec

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// kind says what a message between front and carrier tells.
type kind string

const (
	kindSignal  kind = "signal"  // to the carrier: send Signal to the program
	kindLeave   kind = "leave"   // to the front: leave the process group, to which the carrier comes
	kindLeft    kind = "left"    // to the carrier: so it is
	kindStays   kind = "stays"   // to the carrier: the front leads its session, and cannot leave
	kindStarted kind = "started" // to the front: the program runs
	kindStopped kind = "stopped" // to the front: Signal has stopped the program
	kindGoesOn  kind = "goes on" // to the front: so it does, and SIGCONT comes from the carrier
	kindEnded   kind = "ended"   // to the front: the program has ended with Status
	kindFailed  kind = "failed"  // to the front: the program was not started
)

// message is one packet on the socket between front and carrier, in JSON.
type message struct {
	Kind   kind   `json:"kind"`
	Signal int    `json:"signal,omitempty"`
	Pid    int    `json:"pid,omitempty"`    // of the program
	Status uint32 `json:"status,omitempty"` // as wait(2) tells it
	Error  string `json:"error,omitempty"`
	Code   int    `json:"code,omitempty"` // to exit with
}

// maxMessage bounds a message in bytes.
const maxMessage = 8 << 10

// peer is an end of the socket between front and carrier.
type peer struct{ *net.UnixConn }

// newPeers returns the front's end, and the descriptor of the carrier's, which is
// inherited by the next process that is started.
func newPeers() (peer, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return peer{}, 0, os.NewSyscallError("socketpair", err)
	}
	p, err := newPeer(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return p, 0, err
	}
	return p, fds[1], nil
}

// newPeer takes a descriptor over.
func newPeer(fd int) (peer, error) {
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "exec")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return peer{}, fmt.Errorf("descriptor %d does not lead to a servald: %w", fd, err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return peer{}, fmt.Errorf("descriptor %d does not lead to a servald", fd)
	}
	return peer{u}, nil
}

func (p peer) send(m message) error {
	if len(m.Error) > maxMessage/4 {
		m.Error = m.Error[:maxMessage/4]
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = p.Write(b)
	return err
}

// receive returns the next message. The error is io.EOF when the other process is gone.
func (p peer) receive() (message, error) {
	var m message
	buf := make([]byte, maxMessage)
	n, err := p.Read(buf)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(buf[:n], &m)
}
