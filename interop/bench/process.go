//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/lab"
)

// bench starts the measured processes.
type bench struct {
	self      string // this program
	wireguard string // the program for wireguard-go
	dir       string
	port      uint16 // a fresh one per server
}

// newBench builds what the groups need.
func newBench(ctx context.Context, groups []group) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	b := &bench{self: self, dir: dir, port: 7000}
	if slices.ContainsFunc(groups, func(g group) bool { return slices.Contains(g.systems, "wireguard-go") }) {
		b.wireguard = filepath.Join(dir, "wireguard")
		build := exec.CommandContext(ctx, "go", "build", "-C", "interop/bench/wireguard", "-o", b.wireguard, ".")
		build.Env = append(os.Environ(), "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			b.close()
			return nil, fmt.Errorf("build the wireguard-go process (run from the repository's root, or leave it out with -systems): %w\n%s", err, out)
		}
	}
	return b, nil
}

func (b *bench) close() { os.RemoveAll(b.dir) }

// command returns the program of a system, as a command on the host.
func (b *bench) command(ctx context.Context, h *lab.Host, side, system, arg string) *exec.Cmd {
	program := b.self
	if system == "wireguard-go" {
		program = b.wireguard
	}
	return h.Command(ctx, program, side, system, arg)
}

// pair runs one workload between a server and a client process of the system.
func (b *bench) pair(ctx context.Context, s *site, system string, spec load.Spec) (load.Result, error) {
	// Whatever hangs, hangs no longer than this.
	ctx, cancel := context.WithTimeout(ctx, spec.Warm+spec.For+time.Minute)
	defer cancel()
	spec.Addr = b.nextAddr(s)
	server, err := b.serve(ctx, s.server, system, spec.Addr)
	if err != nil {
		return nil, err
	}
	defer server.kill()
	return b.client(ctx, s, system, spec)
}

// nextAddr returns an address at the site's server that was not used before.
func (b *bench) nextAddr(s *site) netip.AddrPort {
	b.port++
	return netip.AddrPortFrom(s.addr, b.port)
}

// client runs a client process to its end.
func (b *bench) client(ctx context.Context, s *site, system string, spec load.Spec) (load.Result, error) {
	arg, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := b.command(ctx, s.client, "client", system, string(arg))
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := s.client.Start(cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("client: %w: %s", err, tail(complaint.String()))
	}
	var result load.Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return nil, fmt.Errorf("client's result: %w: %s", err, out.String())
	}
	return result, nil
}

// server is a running server process.
type server struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
}

// kill ends the process and waits for it.
func (s *server) kill() {
	s.cancel()
	s.cmd.Wait()
}

// serve starts a server process and returns once it listens.
func (b *bench) serve(ctx context.Context, h *lab.Host, system string, addr netip.AddrPort) (*server, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &server{b.command(ctx, h, "server", system, addr.String()), cancel}
	var complaint bytes.Buffer
	s.cmd.Stderr = &complaint
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = h.Start(s.cmd)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		s.kill()
		return nil, fmt.Errorf("server did not start: %s", tail(complaint.String()))
	}
	return s, nil
}

// tail returns the end of a process's complaints.
func tail(s string) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-500):]
}
