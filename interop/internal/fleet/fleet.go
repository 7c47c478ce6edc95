//go:build unix

// Package fleet runs a Serval cluster of real processes on this host: servald for
// each of its hosts, and programs that use them. Its hosts are addresses of the
// loopback interface, or have network namespaces.
package fleet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
)

// Fleet is a cluster. Close it when done.
type Fleet struct {
	Servald string // the program
	// Everywhere lets programs use every address of their host, not only that at
	// which it joined.
	Everywhere bool

	ctx   context.Context
	end   context.CancelFunc
	dir   string // for files, removed at the end
	token string

	mu    sync.Mutex
	hosts []*Host
	all   []*Process
}

// New builds servald and prepares a cluster without hosts. All processes end
// with ctx.
func New(ctx context.Context) (*Fleet, error) {
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return nil, err
	}
	f := &Fleet{Servald: filepath.Join(dir, "servald"), dir: dir}
	f.ctx, f.end = context.WithCancel(ctx)
	if err := f.Build(f.Servald, "github.com/serval-net/serval/servald"); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Build builds a Go package of this module into a program.
func (f *Fleet) Build(program, pkg string) error {
	build := exec.CommandContext(f.ctx, "go", "build", "-o", program, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s (run inside the repository): %w\n%s", pkg, err, out)
	}
	return nil
}

// Close ends all processes and removes the files.
func (f *Fleet) Close() {
	f.end()
	f.mu.Lock()
	all := f.all
	f.mu.Unlock()
	for _, p := range all {
		<-p.done
	}
	os.RemoveAll(f.dir)
}

// Place is where a host's programs run, such as a lab.Host. Do runs a function
// there: the sockets that it opens and the processes that it starts belong there.
type Place interface {
	Do(func() error) error
}

// here is the network that this process is in.
type here struct{}

func (here) Do(f func() error) error { return f() }

// Host is one member of the cluster.
type Host struct {
	Fleet  *Fleet
	Addr   string   // of the loopback interface, or in its place
	Env    []string // for programs that run on it
	Gossip string   // address:port

	place  Place
	name   string
	run    []string // the command of its servald
	daemon *Process
}

// Outsider is a host that is no member: it has no servald, and its programs know of
// none.
func (f *Fleet) Outsider(place Place, name string) *Host {
	return &Host{Fleet: f, place: place, name: name}
}

// Join adds a host at an address of the loopback interface, such as 127.0.0.2,
// and starts its servald, with further arguments of servald run.
func (f *Fleet) Join(addr string, args ...string) (*Host, error) {
	return f.JoinAt(here{}, addr, args...)
}

// JoinAt is Join for a host that is somewhere else, at an address that is known
// there. The place must last longer than the fleet.
func (f *Fleet) JoinAt(place Place, addr string, args ...string) (*Host, error) {
	f.mu.Lock()
	name := fmt.Sprintf("host%d", len(f.hosts))
	f.mu.Unlock()
	var gossip string
	err := place.Do(func() (err error) {
		gossip, err = FreePort(addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	home := filepath.Join(f.dir, name)
	h := &Host{Fleet: f, Addr: addr, Gossip: gossip, place: place, name: name}
	if f.token == "" {
		f.token, err = f.servald("init", "--home", home, "--name", name, "--seed", gossip)
	} else {
		_, err = f.servald("join", f.token, "--home", home, "--name", name)
	}
	if err != nil {
		return nil, err
	}
	listen := addr + ":0"
	if f.Everywhere {
		listen = ""
	}
	h.Env = []string{"SERVAL_HOME=" + home, "SERVAL_SOCKET=" + h.Socket(), "SERVAL_LISTEN=" + listen, "SERVAL_TOKEN="}
	h.run = append([]string{f.Servald, "run", "--gossip", gossip}, args...)
	if err := h.Restart(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.hosts = append(f.hosts, h)
	f.mu.Unlock()
	return h, nil
}

// Restart starts the host's servald, which must have ended, and waits until it is
// ready.
func (h *Host) Restart() (err error) {
	if h.daemon, err = h.Start("servald", h.run...); err != nil {
		return err
	}
	_, err = h.daemon.Expect(h.Fleet.ctx, "ready")
	return err
}

func (f *Fleet) servald(args ...string) (string, error) {
	out, err := exec.CommandContext(f.ctx, f.Servald, args...).Output()
	if err != nil {
		if said, ok := err.(*exec.ExitError); ok {
			return "", fmt.Errorf("servald %s: %s", args[0], said.Stderr)
		}
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// Start starts a program on the host.
func (h *Host) Start(name string, args ...string) (*Process, error) {
	return h.StartWith(name, nil, args...)
}

// StartWith starts a program on the host with more in its environment.
func (h *Host) StartWith(name string, env []string, args ...string) (*Process, error) {
	f := h.Fleet
	p, err := startAt(f.ctx, h.place, name+" on "+h.name, append(append([]string(nil), h.Env...), env...), args...)
	if err == nil {
		f.mu.Lock()
		f.all = append(f.all, p)
		f.mu.Unlock()
	}
	return p, err
}

// Run runs a servald command on the host to its end and returns what it prints.
func (h *Host) Run(args ...string) (string, error) {
	p, err := h.Start("servald "+args[0], append([]string{h.Fleet.Servald}, args...)...)
	if err != nil {
		return "", err
	}
	return p.Output()
}

// Known waits until the host knows so many instances of a service, for so long at
// most.
func (h *Host) Known(ctx context.Context, d time.Duration, service string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		var out string
		p, err := h.Start("servald services", h.Fleet.Servald, "services", "--json")
		if err == nil {
			out, err = p.OutputWithin(ctx)
		}
		if err == nil && strings.Count(out, `"`+service+`"`) >= n {
			return nil
		}
		if command.Pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%s does not know %d instances of %s: %v\n%s", h.name, n, service, err, out)
		}
	}
}

// Socket is the control socket of the host's servald.
func (h *Host) Socket() string { return filepath.Join(h.Fleet.dir, h.name, "s") }

// Daemon is the host's servald.
func (h *Host) Daemon() *Process { return h.daemon }

// FreePort returns an address with a port that is free for TCP and UDP.
func FreePort(addr string) (string, error) {
	for range 20 {
		t, err := net.Listen("tcp", addr+":0")
		if err != nil {
			return "", err
		}
		at := t.Addr().String()
		u, err := net.ListenPacket("udp", at)
		t.Close()
		if err == nil {
			u.Close()
			return at, nil
		}
	}
	return "", fmt.Errorf("%s has no free port", addr)
}

// Accepts waits until something accepts connections at a TCP address.
func Accepts(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		if command.Pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("nothing listens at %s: %w", addr, err)
		}
	}
}
