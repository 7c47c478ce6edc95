package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The services of the demonstration.
const (
	files   = "svc:files"   // apps/web: the content over HTTP
	archive = "svc:archive" // servald send --serve: the content as it is
)

// patience is how long connections wait for a replica that is gone. By default they
// would wait ten minutes, for it may have moved; here nobody moves.
const patience = "2s"

// host is one member of the cluster on a loopback address of its own: servald, and
// on a replica the two programs that serve the content.
type host struct {
	cluster  *cluster
	address  string
	env      []string // for the programs that run on it
	socket   string
	gossip   string
	programs []*process
	names    map[string]string // instance, as it calls itself, of each service it serves
}

// cluster is everything the demonstration started.
type cluster struct {
	dir     string // scratch
	servald string // programs
	web     string
	content string // directory of the file

	client   *host
	replicas []*host
	token    string
}

func newCluster(ctx context.Context, dir, content string) (*cluster, error) {
	c := &cluster{dir: dir, content: content, servald: filepath.Join(dir, "servald"), web: filepath.Join(dir, "web")}
	for program, pkg := range map[string]string{c.servald: "./servald", c.web: "./apps/web"} {
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
			return c, fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	addresses, err := loopbacks(4)
	if err != nil {
		return c, err
	}
	for i, address := range addresses {
		h, err := c.newHost(ctx, address, fmt.Sprintf("host%d", i))
		if err != nil {
			return c, err
		}
		if i == 0 {
			c.client = h
		} else {
			c.replicas = append(c.replicas, h)
		}
	}
	for _, h := range c.replicas {
		if err := h.serve(ctx); err != nil {
			return c, err
		}
	}
	return c, nil
}

// loopbacks returns n addresses, all the same where there is but one.
func loopbacks(n int) ([]string, error) {
	var all []string
	for i := range n {
		address := fmt.Sprintf("127.0.0.%d", i+1)
		if ln, err := net.Listen("tcp", address+":0"); err == nil {
			ln.Close()
		} else if i == 0 {
			return nil, err
		} else {
			address = "127.0.0.1"
		}
		all = append(all, address)
	}
	return all, nil
}

// newHost makes the keys of a host and starts its servald.
func (c *cluster) newHost(ctx context.Context, address, name string) (*host, error) {
	home := filepath.Join(c.dir, name)
	gossip, err := freePort(address)
	if err != nil {
		return nil, err
	}
	h := &host{cluster: c, address: address, gossip: gossip, socket: filepath.Join(home, "s"), names: make(map[string]string)}
	if c.token == "" {
		c.token, err = c.output(ctx, nil, "init", "--home", home, "--name", name, "--seed", gossip)
	} else {
		_, err = c.output(ctx, nil, "join", c.token, "--home", home, "--name", name)
	}
	if err != nil {
		return nil, err
	}
	h.env = []string{"SERVAL_HOME=" + home, "SERVAL_SOCKET=" + h.socket, "SERVAL_LISTEN=" + address + ":0", "SERVAL_TOKEN="}
	return h, h.run(ctx)
}

// run starts the host's servald.
func (h *host) run(ctx context.Context) error {
	p, err := h.start("servald", h.cluster.servald, "run", "--gossip", h.gossip)
	if err != nil {
		return err
	}
	_, err = p.expect(ctx, `ready`)
	return err
}

// serve starts what a replica serves.
func (h *host) serve(ctx context.Context) error {
	c := h.cluster
	web, err := h.start("web", c.web, "serve", c.content, files)
	if err != nil {
		return err
	}
	send, err := h.start("send", c.servald, "send", "--serve", archive, filepath.Join(c.content, contentName))
	if err != nil {
		return err
	}
	if h.names[files], err = web.expect(ctx, `(svc:files#\w+)`); err != nil {
		return err
	}
	h.names[archive], err = send.expect(ctx, `(svc:archive#\w+)`)
	return err
}

func (h *host) start(name string, args ...string) (*process, error) {
	p, err := start(name+" on "+h.address, h.env, args...)
	if err == nil {
		h.programs = append(h.programs, p)
	}
	return p, err
}

// kill ends everything on the host with SIGKILL, as a power cut would.
func (h *host) kill() {
	for _, p := range h.programs {
		p.cmd.Process.Kill()
	}
	for _, p := range h.programs {
		<-p.done
	}
	h.programs = nil
	clear(h.names)
}

// revive starts a killed replica again.
func (h *host) revive(ctx context.Context) error {
	os.Remove(h.socket)
	if err := h.run(ctx); err != nil {
		return err
	}
	return h.serve(ctx)
}

// at returns the replica that calls itself so.
func (c *cluster) at(instance string) (*host, error) {
	for _, h := range c.replicas {
		for _, name := range h.names {
			if name == instance {
				return h, nil
			}
		}
	}
	return nil, fmt.Errorf("%q served the content, which is none of the replicas", instance)
}

// wait waits until the client's servald knows n instances of both services, and
// none but those that live.
func (c *cluster) wait(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := c.output(ctx, c.client.env, "services", "--json")
		if err == nil && c.count(out, files) >= n && c.count(out, archive) >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the client's servald did not learn of %d instances in time; it knows:\n%s", n, out), err)
		}
	}
}

// count returns how many living replicas are among the services listed.
func (c *cluster) count(listing, service string) (n int) {
	seen := make(map[string]bool)
	decoder := json.NewDecoder(strings.NewReader(listing))
	for decoder.More() {
		var in struct{ Service, Instance string }
		if decoder.Decode(&in) != nil {
			break
		}
		if _, err := c.at(in.Instance); err == nil && in.Service == service && !seen[in.Instance] {
			seen[in.Instance] = true
			n++
		}
	}
	return n
}

// output runs servald to its end and returns its standard output.
func (c *cluster) output(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.servald, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("servald %s: %w: %s", args[0], err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// stop ends all programs.
func (c *cluster) stop() {
	for _, h := range append(c.replicas, c.client) {
		if h != nil {
			h.kill()
		}
	}
}

// freePort returns an address with a port that is free for UDP and TCP.
func freePort(address string) (string, error) {
	for range 100 {
		ln, err := net.Listen("tcp", address+":0")
		if err != nil {
			return "", err
		}
		addr := ln.Addr().String()
		pc, err := net.ListenPacket("udp", addr)
		ln.Close()
		if err == nil {
			pc.Close()
			return addr, nil
		}
	}
	return "", errors.New("no free port on " + address)
}
