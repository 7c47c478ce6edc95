// Package transfer sends files and directories over a connection. Every file is
// checked against its SHA-256 and appears under its name only when it is complete.
//
// The side that dialled speaks first. A message is a length of two bytes and that
// much JSON.
//
//	hello ->    both sides: protocol, version, and who sends
//	<- hello
//	entry       from the sender, for each file or directory: path, mode, size, time
//	  content   a file's bytes, as many as the entry says
//	  SHA-256   of the content, 32 bytes
//	...
//	entry       with end set
//	<- outcome  from the receiver: what it has, or what went wrong, at any time
//
// The receiver trusts nothing: paths cannot leave its directory, be it by "..", by an
// absolute name or through a symbolic link, and modes carry permissions only.
package transfer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"time"
)

const (
	protocol   = "serval-transfer"
	version    = 1
	maxMessage = 16 << 10
	maxPath    = 4096
	blockSize  = 128 << 10

	// helloTime is how long the other side may take to say hello, and after a failure
	// how long this side listens for the reason.
	helloTime = 15 * time.Second
)

// Events follows a transfer; *progress.Meter is one. Calls come one at a time.
type Events interface {
	Start(totalBytes int64)
	Item(name string)
	Add(bytes int)
}

// Options say how to take part in a transfer.
type Options struct {
	Dialed bool   // this side dialled, and so speaks first
	Events Events // nil is none
}

func (o Options) events() Events {
	if o.Events == nil {
		return noEvents{}
	}
	return o.Events
}

type noEvents struct{}

func (noEvents) Start(int64) {}
func (noEvents) Item(string) {}
func (noEvents) Add(int)     {}

// Summary counts what was transferred.
type Summary struct {
	Files int   `json:"files"`
	Dirs  int   `json:"directories"`
	Bytes int64 `json:"bytes"`
}

type role string

const (
	sending   role = "send"
	receiving role = "receive"
)

type hello struct {
	Protocol string `json:"protocol"`
	Version  int    `json:"version"`
	Role     role   `json:"role"`
	Bytes    int64  `json:"bytes,omitempty"` // the sender's total, for progress only
}

type entry struct {
	Path    string      `json:"path,omitempty"` // slash-separated
	Dir     bool        `json:"dir,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"` // permission bits
	Size    int64       `json:"size,omitempty"`
	ModTime int64       `json:"mtime_ns,omitempty"`
	End     bool        `json:"end,omitempty"`
}

type outcome struct {
	Error string `json:"error,omitempty"`
	Summary
}

// check accepts an entry that a receiver may act on.
func (e entry) check() error {
	if e.End {
		return nil
	}
	if !fs.ValidPath(e.Path) || e.Path == "." || len(e.Path) > maxPath {
		return fmt.Errorf("the sender named a file %.80q, which could lie outside the directory: refused", e.Path)
	}
	if _, err := filepath.Localize(e.Path); err != nil {
		return fmt.Errorf("the sender's file name %.80q cannot be used on this system", e.Path)
	}
	if e.Size < 0 || e.Dir && e.Size != 0 {
		return fmt.Errorf("the sender's size for %.80q is wrong", e.Path)
	}
	return nil
}

// greet exchanges hellos and returns the peer's.
func greet(conn net.Conn, dialed bool, mine hello) (hello, error) {
	mine.Protocol, mine.Version = protocol, version
	conn.SetDeadline(time.Now().Add(helloTime))
	var theirs hello
	if dialed {
		if err := writeMessage(conn, mine); err != nil {
			return theirs, err
		}
	}
	if err := readMessage(conn, &theirs); err != nil {
		if !dialed && err == errEnded {
			return theirs, ErrNoHello
		}
		return theirs, fmt.Errorf("waiting for the other side of the transfer: %w", err)
	}
	if !dialed { // also when it does not fit, for the peer wants to know
		if err := writeMessage(conn, mine); err != nil {
			return theirs, err
		}
	}
	switch {
	case theirs.Protocol != protocol:
		return theirs, errForeign
	case theirs.Version != version:
		return theirs, fmt.Errorf("the other side speaks version %d of the transfer protocol and this side version %d: use the same servald on both", theirs.Version, version)
	case theirs.Role == mine.Role && mine.Role == sending:
		return theirs, errors.New("both sides want to send: run `servald recv` on one of them")
	case theirs.Role == mine.Role:
		return theirs, errors.New("both sides want to receive: run `servald send` on one of them")
	}
	return theirs, conn.SetDeadline(time.Time{})
}

// ErrNoHello says that whoever dialled closed before a transfer began, as one does
// who only wants to know whether there is somebody.
var ErrNoHello = errors.New("closed before a transfer began")

var errForeign = errors.New("the other side does not speak the transfer protocol: is the name one that `servald send --serve` or `servald recv --serve` listens on?")

func writeMessage(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > maxMessage {
		return fmt.Errorf("a message of %d bytes does not fit: is a path longer than %d bytes?", len(text), maxPath)
	}
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(text)), uint16(len(text)))
	_, err = w.Write(append(b, text...))
	return err
}

func readMessage(r io.Reader, v any) error {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return unexpected(err)
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > maxMessage {
		return errForeign
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return unexpected(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return errForeign
	}
	return nil
}

var errEnded = errors.New("the other side ended the transfer early")

// unexpected turns a clean end of the stream into an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnded
	}
	return err
}
