package emu

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The part of linux/netfilter/nfnetlink_queue.h that an emulator needs.
const (
	msgPacket       = unix.NFNL_SUBSYS_QUEUE << 8
	msgVerdict      = unix.NFNL_SUBSYS_QUEUE<<8 | 1
	msgConfig       = unix.NFNL_SUBSYS_QUEUE<<8 | 2
	msgVerdictBatch = unix.NFNL_SUBSYS_QUEUE<<8 | 3

	attrPacketHeader  = 1 // in msgPacket
	attrPayload       = 10
	attrVerdictHeader = 2 // in msgVerdict

	attrConfigCommand = 1
	attrConfigParams  = 2
	attrConfigMaxLen  = 3
	attrConfigMask    = 4
	attrConfigFlags   = 5

	attrTypeMask = 0x3fff

	commandBind  = 1
	copyMetadata = 1
	copyPacket   = 2
	flagGSO      = 1 << 2 // hand over segmentation-offload packets whole

	verdictDrop   = 0
	verdictAccept = 1

	headerLen = unix.SizeofNlMsghdr + 4 // netlink header, then nfgenmsg
)

// nfqueue is a netlink socket bound to one queue of the network namespace in
// which it was opened.
type nfqueue struct {
	fd      int
	queue   uint16
	in      []byte
	out     []byte // verdicts not yet sent
	copying bool   // payloads come with the packets
}

func openQueue(queue uint16, limit int) (*nfqueue, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("emu: open a netfilter socket: %w", err)
	}
	q := &nfqueue{fd: fd, queue: queue, in: make([]byte, 128<<10)}
	if err := q.bind(limit); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("emu: bind netfilter queue %d (root is needed, and nobody else may use it): %w", queue, err)
	}
	return q, nil
}

func (q *nfqueue) bind(limit int) error {
	if err := unix.Bind(q.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	// A burst must not be lost between kernel and emulator: that would be loss
	// nobody asked for.
	if err := unix.SetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(q.fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return err
	}
	flags := binary.BigEndian.AppendUint32(nil, flagGSO)
	for _, attrs := range [][]attr{
		{{attrConfigCommand, []byte{commandBind, 0, 0, 0}}},
		{{attrConfigParams, []byte{0, 0, 0, 0, copyMetadata}}},
		{{attrConfigMaxLen, binary.BigEndian.AppendUint32(nil, uint32(limit))}},
		{{attrConfigFlags, flags}, {attrConfigMask, flags}},
	} {
		if err := q.configure(attrs); err != nil {
			return err
		}
	}
	return unix.SetNonblock(q.fd, true)
}

// copyPayload asks for payloads, which come with full checksums and cut up into
// packets, or for none. Packets on their way come as before.
func (q *nfqueue) copyPayload(on bool) error {
	if on == q.copying {
		return nil
	}
	q.copying = on
	params, flags := []byte{0, 0, 0, 0, copyMetadata}, uint32(flagGSO)
	if on {
		params, flags = []byte{0, 0, 0xff, 0xff, copyPacket}, 0
	}
	b := q.begin(q.out, msgConfig, unix.NLM_F_REQUEST)
	for _, a := range []attr{
		{attrConfigParams, params},
		{attrConfigFlags, binary.BigEndian.AppendUint32(nil, flags)},
		{attrConfigMask, binary.BigEndian.AppendUint32(nil, flagGSO)},
	} {
		b = appendAttr(b, a)
	}
	q.out = finish(b, len(q.out))
	return q.flush()
}

// attr is one netlink attribute.
type attr struct {
	kind  uint16
	value []byte
}

// configure sends configuration attributes and waits for the kernel's answer.
func (q *nfqueue) configure(attrs []attr) error {
	b := q.begin(nil, msgConfig, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	for _, a := range attrs {
		b = appendAttr(b, a)
	}
	if _, err := unix.Write(q.fd, finish(b, 0)); err != nil {
		return err
	}
	for {
		n, err := unix.Read(q.fd, q.in)
		if err != nil {
			return err
		}
		if n < unix.SizeofNlMsghdr+4 {
			return errors.New("short netlink answer")
		}
		// A packet may arrive before the answer; its sender will repeat it.
		if binary.NativeEndian.Uint16(q.in[4:]) != unix.NLMSG_ERROR {
			continue
		}
		if code := int32(binary.NativeEndian.Uint32(q.in[unix.SizeofNlMsghdr:])); code != 0 {
			return unix.Errno(-code)
		}
		return nil
	}
}

// read calls f with the id of each packet of one read from the socket, and its
// payload, valid during the call, if that was asked for. It returns unix.EAGAIN
// when there is none.
func (q *nfqueue) read(f func(id uint32, payload []byte)) error {
	n, err := unix.Read(q.fd, q.in)
	if err != nil {
		return err
	}
	for b := q.in[:n]; len(b) >= headerLen; {
		size := int(binary.NativeEndian.Uint32(b))
		if size < headerLen || size > len(b) {
			return fmt.Errorf("emu: netlink message of %d bytes in %d", size, len(b))
		}
		if binary.NativeEndian.Uint16(b[4:]) == msgPacket {
			if id, payload, ok := parsePacket(b[headerLen:size]); ok {
				f(id, payload)
			}
		}
		b = b[min(align(size), len(b)):]
	}
	return nil
}

// parsePacket finds the packet's id and payload in the attributes of a packet
// message.
func parsePacket(attrs []byte) (id uint32, payload []byte, ok bool) {
	for len(attrs) >= 4 {
		size := int(binary.NativeEndian.Uint16(attrs))
		if size < 4 || size > len(attrs) {
			break
		}
		switch binary.NativeEndian.Uint16(attrs[2:]) & attrTypeMask {
		case attrPacketHeader:
			if size >= 8 {
				id, ok = binary.BigEndian.Uint32(attrs[4:]), true
			}
		case attrPayload:
			payload = attrs[4:size]
		}
		attrs = attrs[min(align(size), len(attrs)):]
	}
	return id, payload, ok
}

// verdict queues the verdict on one packet, or with msgVerdictBatch on that
// packet and all before it.
func (q *nfqueue) verdict(message uint16, id, verdict uint32) {
	start := len(q.out)
	b := q.begin(q.out, message, unix.NLM_F_REQUEST)
	var v [8]byte
	binary.BigEndian.PutUint32(v[:], verdict)
	binary.BigEndian.PutUint32(v[4:], id)
	q.out = finish(appendAttr(b, attr{attrVerdictHeader, v[:]}), start)
}

// flush sends the queued verdicts.
func (q *nfqueue) flush() error {
	if len(q.out) == 0 {
		return nil
	}
	_, err := unix.Write(q.fd, q.out)
	q.out = q.out[:0]
	return err
}

func (q *nfqueue) begin(b []byte, message, flags uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0) // length, set by finish
	b = binary.NativeEndian.AppendUint16(b, message)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence, port
	b = append(b, unix.AF_UNSPEC, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, q.queue)
}

// finish sets the length of the message that starts at start.
func finish(b []byte, start int) []byte {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func appendAttr(b []byte, a attr) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(a.value)))
	b = binary.NativeEndian.AppendUint16(b, a.kind)
	b = append(b, a.value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func align(n int) int { return (n + 3) &^ 3 }
