//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/interop/internal/command"
)

// The services: one behind a server that knows only TCP, one of a Go program.
const (
	plainService = "svc:plain"
	appService   = "svc:app"
)

// cluster is the three hosts' programs.
type cluster struct {
	dir, bin              string // scratch, programs
	self                  string
	client, server, third *host
	source                *process
	all                   []*process
}

// host is a host's servald and how to start what uses it.
type host struct {
	name  string
	place place
	home  string
	env   []string
}

func (h *host) socket() string { return filepath.Join(h.home, "s") }

// run starts a program on the host.
func (c *cluster) run(h *host, download func(io.Reader), program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), h.env...)
	p, err := launch(filepath.Base(program)+" on the "+h.name, cmd, h.place.start, download)
	if err == nil {
		p.host = h
		c.all = append(c.all, p)
	}
	return p, err
}

func (c *cluster) servald() string { return filepath.Join(c.bin, "servald") }

// start makes the cluster: servald on each host, the rendezvous on the third, the
// servers on the server.
func (c *cluster) start(ctx context.Context, s stage) (err error) {
	if c.self, err = os.Executable(); err != nil {
		return err
	}
	places := s.places()
	token := ""
	for i, h := range []**host{&c.third, &c.server, &c.client} {
		*h = &host{name: places[i].name, place: places[i], home: filepath.Join(c.dir, places[i].name)}
		if token, err = c.admit(ctx, *h, places[0].seed, token); err != nil {
			return err
		}
	}
	if err := c.expect(ctx, c.third, `rendezvous at`, c.self, roleArg, "rendezvous", places[0].rendezvous); err != nil {
		return err
	}
	if c.source, err = c.run(c.server, nil, c.self, roleArg, "source", fmt.Sprint(s.pace())); err != nil {
		return err
	}
	at, err := c.source.expect(ctx, `plain HTTP at (\S+)`)
	if err != nil {
		return err
	}
	if err := c.expect(ctx, c.server, `serving `, c.servald(), "serve", plainService, "--to", at); err != nil {
		return err
	}
	return c.await(ctx)
}

// admit gives a host its keys and starts its servald. The first makes the cluster.
func (c *cluster) admit(ctx context.Context, h *host, seed, token string) (string, error) {
	args := []string{"join", token}
	run := []string{"run"}
	if h.place.gossip != "" {
		run = append(run, "--gossip", h.place.gossip)
	}
	if token == "" {
		args = []string{"init", "--seed", seed}
	}
	cmd := exec.CommandContext(ctx, c.servald(), append(args, "--home", h.home, "--name", h.name)...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("servald %s: %w", args[0], err)
	}
	h.env = append([]string{"SERVAL_HOME=" + h.home, "SERVAL_SOCKET=" + h.socket(), "SERVAL_TOKEN=", "SERVAL_JOIN="}, h.place.env...)
	if token == "" {
		token = strings.TrimSpace(string(out))
	}
	return token, c.expect(ctx, h, `ready`, c.servald(), run...)
}

// expect starts a program and waits until it says it is ready.
func (c *cluster) expect(ctx context.Context, h *host, line, program string, args ...string) error {
	p, err := c.run(h, nil, program, args...)
	if err == nil {
		_, err = p.expect(ctx, line)
	}
	return err
}

// await waits until the client's servald has heard of both services.
func (c *cluster) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		cmd := exec.CommandContext(ctx, c.servald(), "services")
		cmd.Env = append(os.Environ(), c.client.env...)
		out, err := cmd.Output()
		if err == nil && strings.Contains(string(out), plainService) && strings.Contains(string(out), appService) {
			return nil
		}
		if command.Pause(ctx, 50*time.Millisecond) != nil {
			return errors.Join(fmt.Errorf("the client's servald has not heard of the services in time; it knows:\n%s", out), err)
		}
	}
}

// download starts both downloads and waits until they receive.
func (c *cluster) download(ctx context.Context, s stage) ([]*download, error) {
	forward, err := c.run(c.client, nil, c.servald(), "forward", "127.0.0.1:0", plainService)
	if err != nil {
		return nil, err
	}
	at, err := forward.expect(ctx, `forwarding (\S+) to`)
	if err != nil {
		return nil, err
	}
	say("The client starts two downloads, that end when the story does:")
	var all []*download
	for _, d := range []*download{
		{name: "curl", service: plainService, path: "curl", command: []string{"curl", "--silent", "--show-error", "--fail", "--no-buffer", "http://" + at + "/curl"}},
		{name: "Go app", service: appService, path: "app", command: []string{filepath.Join(c.bin, "web"), "get", appService, "app"}},
	} {
		d.begin()
		if d.process, err = c.run(c.client, d.read, d.command[0], d.command[1:]...); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	say("  curl    curl http://%s/curl, which servald forward and serve carry to a plain HTTP server", at)
	say("  Go app  web get %s app: net/http over serval.Dial and serval.Listen", appService)
	for _, d := range all {
		if err := d.flows(ctx); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// finish ends the downloads and compares what was sent and received.
func (c *cluster) finish(ctx context.Context, downloads []*download) error {
	io.WriteString(c.source.in, "stop\n")
	var errs []error
	for _, d := range downloads {
		errs = append(errs, d.finish(ctx, c.source))
	}
	return errors.Join(errs...)
}

// nodes returns the client's processes that have connections.
func (c *cluster) nodes(ctx context.Context) []*nodectl.Client {
	all, _ := nodectl.List(ctx, nodectl.Dir(c.client.socket()))
	return all
}

func (c *cluster) stop() {
	for _, p := range c.all {
		p.kill()
	}
}
