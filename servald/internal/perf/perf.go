// Package perf measures the throughput of connections, as iperf does: one side sends
// as fast as it can for a while over some streams, and the receiver's count is the
// result.
//
// On each stream the client first sends a request, one message that says which way
// the data goes and for how long; the server answers with a reply. Then the sender
// sends until the time is up and half-closes. When the client was the sender, the
// server tells it in a second reply how much arrived. A message is a length of two
// bytes and that much JSON.
package perf

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Limits of what a peer may ask for.
const (
	maxMessage  = 4096
	maxDuration = time.Hour
	blockSize   = 128 << 10
)

// request opens a stream.
type request struct {
	Version  int           `json:"version"`
	Reverse  bool          `json:"reverse"` // the server sends
	Duration time.Duration `json:"duration_ns"`
}

// reply answers a request, and ends a stream on which the client sent.
type reply struct {
	Error   string        `json:"error,omitempty"`
	Bytes   int64         `json:"bytes,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns,omitempty"` // first byte to last, on the receiver's clock
}

const version = 1

func (r request) check() error {
	if r.Version != version {
		return fmt.Errorf("the peer speaks version %d of the perf protocol and this side version %d: use the same servald on both", r.Version, version)
	}
	if r.Duration <= 0 || r.Duration > maxDuration {
		return fmt.Errorf("a test lasts more than nothing and at most %v, not %v", maxDuration, r.Duration)
	}
	return nil
}

func writeMessage(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > maxMessage {
		return errors.New("message too long")
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(text)))
	_, err = w.Write(append(b, text...))
	return err
}

func readMessage(r io.Reader, v any) error {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > maxMessage {
		return errors.New("the peer does not speak the perf protocol: is the name one that `servald perf --serve` listens on?")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("the peer does not speak the perf protocol: %w", err)
	}
	return nil
}

// readReply reads a reply and turns what the peer reports into an error.
func readReply(r io.Reader) (reply, error) {
	var rep reply
	if err := readMessage(r, &rep); err != nil {
		return rep, err
	}
	if rep.Error != "" {
		return rep, fmt.Errorf("the peer refused: %.200q", rep.Error)
	}
	return rep, nil
}
