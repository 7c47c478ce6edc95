//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/scenario"
)

// download is a program on the client that writes what it gets to its standard
// output.
type download struct {
	name          string
	service, path string // what it gets
	command       []string
	process       *process

	recorder *scenario.Recorder
	hash     hash.Hash
	bytes    atomic.Int64

	// Once it is over.
	record    scenario.Record
	got, sent string // SHA-256
}

func (d *download) begin() {
	d.recorder, d.hash = scenario.NewRecorder(time.Now()), sha256.New()
}

// read takes what the program writes.
func (d *download) read(r io.Reader) {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		d.recorder.Add(time.Now(), n)
		d.hash.Write(buf[:n])
		d.bytes.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// flows waits until something has arrived.
func (d *download) flows(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for d.bytes.Load() == 0 {
		select {
		case <-d.process.done:
			return fmt.Errorf("%s ended at once:\n%s", d.name, d.process.tail())
		default:
		}
		if command.Pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("%s receives nothing:\n%s", d.name, d.process.tail())
		}
	}
	return nil
}

// ending is how long a download may take for what was under way when its source
// ended.
const ending = 15 * time.Second

// finish waits for the end, and compares.
func (d *download) finish(ctx context.Context, source *process) error {
	select {
	case <-d.process.done:
	case <-time.After(ending):
		d.process.kill()
		d.record = d.recorder.Finish(time.Now())
		return fmt.Errorf("%s did not end", d.name)
	case <-ctx.Done():
		d.process.kill()
		return ctx.Err()
	}
	d.record = d.recorder.Finish(time.Now())
	d.got = hex.EncodeToString(d.hash.Sum(nil))
	if !d.process.cmd.ProcessState.Success() {
		return fmt.Errorf("%s failed:\n%s", d.name, d.process.tail())
	}
	sent, err := source.expect(ctx, `sent /`+d.path+` \d+ (\w+)`)
	if err != nil {
		return err
	}
	if d.sent = sent; d.got != sent {
		return errors.New(d.name + ": the SHA-256 of what was received differs from that of what was sent")
	}
	return nil
}
