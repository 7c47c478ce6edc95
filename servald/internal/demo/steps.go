package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/serval-net/serval/servald/internal/units"
)

// demo is what the steps share, and what they found.
type demo struct {
	*cluster
	size int64
	sum  string // SHA-256 of the content
	url  string
	rows []row
	dial time.Duration // that nextDial took
}

// steps are the demonstration.
func (d *demo) steps(ctx context.Context) error {
	forward, err := d.client.start("forward", d.servald, "forward", "-v", "--patience", patience, d.client.address+":0", files)
	if err != nil {
		return err
	}
	local, err := forward.expect(ctx, `forwarding (\S+) to`)
	if err != nil {
		return err
	}
	d.url = "http://" + local + "/" + contentName

	for _, step := range []func(context.Context) error{
		d.curlBetween, d.curlDuring, d.recvBetween, d.recvDuring,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// curlBetween fetches with curl, kills who served, and fetches again.
func (d *demo) curlBetween(ctx context.Context) error {
	say("\n1. curl %s, which servald forwards to %s", d.url, files)
	path := filepath.Join(d.dir, "curl")
	fetchAll := func(step, not string) (fetch, error) {
		c, err := startCurl(ctx, d.url, path, false)
		if err != nil {
			return fetch{}, err
		}
		f := c.wait()
		r := row{step: step}
		if not != "" {
			r.dial = f.first
			say("   the next dial landed on %s, whose first byte came after %s", f.instance, units.Duration(f.first))
		}
		return f, d.whole(r, f, path, not)
	}
	f, err := fetchAll("curl", "")
	if err != nil {
		return err
	}
	if _, err := d.killAt(f.instance); err != nil {
		return err
	}
	if _, err := fetchAll("curl after a kill", f.instance); err != nil {
		return err
	}
	return d.reviveAll(ctx)
}

// curlDuring kills who serves in the middle, and lets curl go on with another.
func (d *demo) curlDuring(ctx context.Context) error {
	say("\n2. curl, and its replica is killed in the middle")
	path := filepath.Join(d.dir, "curl")
	c, err := startCurl(ctx, d.url, path, false)
	if err != nil {
		return err
	}
	if err := d.waitPart(ctx, c.size); err != nil {
		return err
	}
	first := c.instance()
	broken := row{step: "curl, killed in the middle", instance: first, elapsed: time.Since(c.started)}
	if broken.address, err = d.killAt(first); err != nil {
		return err
	}
	f := c.wait()
	if f.err == nil {
		return fmt.Errorf("curl had finished before its replica was killed: use a larger -size")
	}
	say("   %v", f.err)
	broken.bytes = size(path)
	d.rows = append(d.rows, broken)
	again, err := startCurl(ctx, d.url, path, true)
	if err != nil {
		return err
	}
	f = again.wait()
	say("   curl --continue-at - goes on at %s; the next dial landed on %s, whose first byte came after %s",
		units.Bytes(broken.bytes), f.instance, units.Duration(f.first))
	if err := d.whole(row{step: "curl goes on", dial: f.first}, f, path, first); err != nil {
		return err
	}
	return d.reviveAll(ctx)
}

// recvBetween fetches with servald itself, kills who sent, and fetches again.
func (d *demo) recvBetween(ctx context.Context) error {
	say("\n3. servald recv %s", archive)
	f, err := d.recvAll(ctx, row{step: "servald recv"}, "")
	if err != nil {
		return err
	}
	if _, err := d.killAt(f.instance); err != nil {
		return err
	}
	if err := d.nextDial(ctx, f.instance); err != nil {
		return err
	}
	if _, err := d.recvAll(ctx, row{step: "servald recv after a kill", dial: d.dial}, f.instance); err != nil {
		return err
	}
	return d.reviveAll(ctx)
}

// recvDuring kills who sends in the middle: nothing half-written may be left.
func (d *demo) recvDuring(ctx context.Context) error {
	say("\n4. servald recv, and its replica is killed in the middle")
	dir := filepath.Join(d.dir, "recv")
	r, err := d.startRecv(dir)
	if err != nil {
		return err
	}
	first, err := r.instance(ctx)
	if err != nil {
		return err
	}
	if err := d.waitPart(ctx, r.size); err != nil {
		return err
	}
	broken := row{step: "servald recv, killed in the middle", instance: first, bytes: r.size(), elapsed: time.Since(r.started)}
	if broken.address, err = d.killAt(first); err != nil {
		return err
	}
	if err := d.nextDial(ctx, first); err != nil {
		return err
	}
	f := r.wait(ctx)
	if f.err == nil {
		return fmt.Errorf("recv had finished before its replica was killed: use a larger -size")
	}
	if left := r.size(); left != 0 {
		return fmt.Errorf("recv left %d bytes behind when it failed", left)
	}
	say("   recv says: %s", lastLine(f.err))
	d.rows = append(d.rows, broken)
	_, err = d.recvAll(ctx, row{step: "servald recv again", dial: d.dial}, first)
	return err
}

// recvAll fetches the whole content with servald recv.
func (d *demo) recvAll(ctx context.Context, r row, not string) (fetch, error) {
	dir := filepath.Join(d.dir, "recv")
	p, err := d.startRecv(dir)
	if err != nil {
		return fetch{}, err
	}
	f := p.wait(ctx)
	return f, d.whole(r, f, filepath.Join(dir, contentName), not)
}

// whole checks a finished download: its bytes, and that another than not served it.
func (d *demo) whole(r row, f fetch, path, not string) error {
	if f.err != nil {
		return fmt.Errorf("%s: %w", r.step, f.err)
	}
	h, err := d.at(f.instance)
	if err != nil {
		return err
	}
	if f.instance == not {
		return fmt.Errorf("%s: served by %s, which was killed", r.step, not)
	}
	sum, err := fileSum(path)
	if err != nil {
		return err
	}
	if sum != d.sum {
		return fmt.Errorf("%s: SHA-256 is %s, not %s", r.step, sum, d.sum)
	}
	r.instance, r.bytes, r.elapsed, r.sum = f.instance, f.bytes, f.elapsed, true
	r.address = h.address
	d.rows = append(d.rows, r)
	say("   %s on %s served %s at %s", f.instance, h.address, units.Bytes(f.bytes), units.Rate(units.BitsPerSecond(f.bytes, f.elapsed)))
	return nil
}

// killAt kills the host of an instance.
func (d *demo) killAt(instance string) (address string, err error) {
	h, err := d.at(instance)
	if err != nil {
		return "", err
	}
	say("   SIGKILL to every process on %s, where %s was", h.address, instance)
	h.kill()
	return h.address, nil
}

// nextDial shows what a dial costs now, with a process that knows nothing of the kill.
func (d *demo) nextDial(ctx context.Context, not string) error {
	out, err := d.output(ctx, d.client.env, "ping", archive, "--count", "1", "--json")
	if err != nil {
		return err
	}
	var pong struct {
		Instance string
		Open     float64 `json:"open_s"`
	}
	if err := json.Unmarshal([]byte(out), &pong); err != nil {
		return err
	}
	if _, err := d.at(pong.Instance); err != nil || pong.Instance == not {
		return fmt.Errorf("the next dial landed on %q (%w)", pong.Instance, err)
	}
	d.dial = time.Duration(pong.Open * float64(time.Second))
	say("   the next dial landed on %s after %s", pong.Instance, units.Duration(d.dial))
	return nil
}

// reviveAll starts what was killed again, and waits until it is known.
func (d *demo) reviveAll(ctx context.Context) error {
	for _, h := range d.replicas {
		if len(h.programs) == 0 {
			if err := h.revive(ctx); err != nil {
				return err
			}
			say("   %s is back", h.address)
		}
	}
	return d.wait(ctx, len(d.replicas))
}

// waitPart waits until a part of the content has arrived.
func (d *demo) waitPart(ctx context.Context, arrived func() int64) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for arrived() < d.size/8 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the download did not get on: %w", context.Cause(ctx))
		}
	}
	return nil
}

func lastLine(err error) string {
	text := strings.TrimSpace(err.Error())
	return strings.TrimSpace(text[strings.LastIndex(text, "\n")+1:])
}
