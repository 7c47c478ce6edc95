//go:build unix

package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

func interrupt(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// isNotConnected reports that the peer had gone before a half-close.
func isNotConnected(err error) bool { return errors.Is(err, syscall.ENOTCONN) }

func isResetByOS(error) bool { return false }

// copyKernel copies from a socket of the kernel. While there is nothing to read it
// holds no buffer, so that connections that are idle cost none.
func copyKernel(dst io.Writer, src net.Conn) (written int64, err error) {
	raw, err := src.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var buf *[bufferSize]byte
	var n int
	var failure error
	read := func(fd uintptr) bool {
		buf = buffers.Get().(*[bufferSize]byte)
		for {
			n, failure = syscall.Read(int(fd), buf[:])
			if failure != syscall.EINTR {
				break
			}
		}
		if failure == syscall.EAGAIN {
			buffers.Put(buf)
			buf = nil
			return false
		}
		return true
	}
	for {
		buf = nil
		if err := raw.Read(read); err != nil {
			return written, err
		}
		if failure == nil && n > 0 {
			var done int
			done, failure = dst.Write(buf[:n])
			written += int64(done)
			if done < n && failure == nil {
				failure = io.ErrShortWrite
			}
			buffers.Put(buf)
			if failure != nil {
				return written, failure
			}
			continue
		}
		buffers.Put(buf)
		if failure != nil {
			return written, readError(src.LocalAddr().Network(), failure)
		}
		return written, nil
	}
}
