//go:build linux

package catalogue

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// server is a legacy server whose instances are a service together.
type server struct {
	port      uint16 // of each instance, and that clients say
	udp       bool
	tcp       bool // not said for those that are TCP only
	instances int
	single    bool // each instance takes one client at a time
	needs     []string
	start     func(ctx context.Context, i *instance) error
	// handled is how many connections, or requests, an instance has had; nil if
	// nobody counts.
	handled func(ctx context.Context, i *instance) (int, error)
}

// instance is one server, at an address of its own of the server's loopback
// interface.
type instance struct {
	name  string // that it tells its clients
	addr  netip.Addr
	port  uint16
	dir   string // its files
	stage *stage.Stage
	seed  *seed

	questions int // that its counter cost
}

// asked counts those up, and returns how many there were before.
func (i *instance) asked() int {
	i.questions++
	return i.questions - 1
}

func (i *instance) at() string { return netip.AddrPortFrom(i.addr, i.port).String() }

// program starts a program of the instance.
func (i *instance) program(args ...string) (*fleet.Process, error) {
	path, err := stage.Find(args[0])
	if err != nil {
		return nil, err
	}
	return i.stage.Server.Start(args[0]+" "+i.name, append([]string{path}, args[1:]...)...)
}

// run runs a program on the server's host to its end.
func (i *instance) run(ctx context.Context, args ...string) (string, error) {
	path, err := stage.Find(args[0])
	if err != nil {
		return "", err
	}
	return stage.Run(ctx, i.stage.Server, nil, append([]string{path}, args[1:]...)...)
}

// write writes a file of the instance and returns where it is.
func (i *instance) write(name, text string) (string, error) {
	path := filepath.Join(i.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// accepts waits until the instance accepts connections.
func (i *instance) accepts(ctx context.Context, p *fleet.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	name, tail := "the server", ""
	for {
		_, err := stage.Run(ctx, i.stage.Server, nil, "/bin/bash", "-c", "exec 3<>/dev/tcp/"+strings.ReplaceAll(i.at(), ":", "/"))
		if err == nil {
			return nil
		}
		if p != nil {
			name, tail = p.Name, p.Tail()
		}
		if command.Pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%s does not listen at %s:\n%s", name, i.at(), tail)
		}
	}
}

// listening starts a program and waits until it accepts connections.
func (i *instance) listening(ctx context.Context, args ...string) error {
	p, err := i.program(args...)
	if err != nil {
		return err
	}
	return i.accepts(ctx, p)
}

// lines counts the lines of one of the instance's files that hold a text.
func (i *instance) lines(file, text string) (int, error) {
	b, err := os.ReadFile(filepath.Join(i.dir, file))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n, err
}

// servers lists them by their services.
var servers = map[string]*server{
	"svc:web":      {port: 80, instances: 3, needs: []string{"nginx"}, start: startWeb, handled: webHandled},
	"svc:h2":       {port: 443, instances: 3, needs: []string{"nginx", "openssl"}, start: startSecureWeb, handled: webHandled},
	"svc:chat":     {port: 8765, instances: 2, needs: []string{"/usr/bin/python3"}, start: startChat},
	"svc:greeter":  {port: 50051, instances: 2, needs: []string{"go"}, start: startGreeter},
	"svc:shell":    {port: 22, instances: 2, needs: []string{"sshd", "ssh-keygen"}, start: startShell, handled: shellHandled},
	"svc:git":      {port: 9418, instances: 2, needs: []string{"git-daemon"}, start: startGit},
	"svc:redis":    {port: 6379, instances: 2, needs: []string{"redis-server", "redis-cli"}, start: startRedis, handled: redisHandled},
	"svc:memcache": {port: 11211, instances: 2, needs: []string{"memcached"}, start: startMemcached},
	"svc:db":       {port: 5432, instances: 2, needs: []string{"postgres", "initdb", "setpriv"}, start: startPostgres, handled: postgresHandled},
	"svc:iperf":    {port: 5201, udp: true, tcp: true, instances: 2, single: true, needs: []string{"iperf3"}, start: startIperf},
	"svc:ns":       {port: 53, udp: true, tcp: true, instances: 2, needs: []string{"dnsmasq"}, start: startNames},
	"svc:tftp":     {port: 69, udp: true, instances: 2, needs: []string{"in.tftpd"}, start: startTFTP},
	"svc:sip":      {port: 5060, udp: true, instances: 2, needs: []string{"sipp"}, start: startSIP("u1")},
	"svc:sip-tcp":  {port: 5060, instances: 2, needs: []string{"sipp"}, start: startSIP("t1")},
}
