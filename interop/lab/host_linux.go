package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/interop/emu"
)

// Host is one machine of the network: a network namespace of its own. Its
// methods may be called from any goroutine.
type Host struct {
	// Name is for messages.
	Name string

	ns     netns.NsHandle
	nl     *netlink.Handle
	calls  chan func()
	ended  chan struct{}
	ctx    context.Context // ends the host's processes
	cancel context.CancelFunc
	emus   []*emu.Emulator
}

// Host adds a host with nothing but a loopback interface.
func (n *Net) Host(name string) (*Host, error) {
	h := &Host{Name: name, calls: make(chan func()), ended: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	ready := make(chan error)
	go h.thread(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("lab: host %s: new network namespace: %w", name, err)
	}
	n.hosts = append(n.hosts, h)
	var err error
	if h.nl, err = netlink.NewHandleAt(h.ns); err != nil {
		return nil, fmt.Errorf("lab: host %s: %w", name, err)
	}
	lo, err := h.nl.LinkByName("lo")
	if err == nil {
		err = h.nl.LinkSetUp(lo)
	}
	if err != nil {
		return nil, fmt.Errorf("lab: host %s: loopback up: %w", name, err)
	}
	return h, nil
}

// thread is the one thread that lives in the host's namespace and runs what
// must run there. It is never unlocked, so it dies with the host, and with it
// (see Command) the processes it started.
func (h *Host) thread(ready chan<- error) {
	runtime.LockOSThread()
	defer close(h.ended)
	ns, err := netns.New()
	h.ns = ns
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case call := <-h.calls:
			call()
		case <-h.ctx.Done():
			return
		}
	}
}

// Do runs f on the host: sockets it opens and processes it starts belong there.
// f must not start goroutines that do the same. After Close it does not run f.
func (h *Host) Do(f func() error) error {
	done := make(chan error)
	select {
	case h.calls <- func() { done <- f() }:
		return <-done
	case <-h.ctx.Done():
		return fmt.Errorf("lab: host %s: %w", h.Name, net.ErrClosed)
	}
}

// Start starts the command on the host. The process is killed when the host
// goes, or this process.
func (h *Host) Start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return h.Do(cmd.Start)
}

// Command returns a command that is killed when ctx ends or the host goes. Pass
// it to Start.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(h.ctx, cancel)
	return exec.CommandContext(ctx, name, args...)
}

// Run runs a command on the host to its end.
func (h *Host) Run(name string, args ...string) error { return h.feed("", name, args...) }

// feed is Run with something to read for the command.
func (h *Host) feed(input, name string, args ...string) error {
	cmd := h.Command(context.Background(), name, args...)
	cmd.Stdin = strings.NewReader(input)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := h.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("lab: host %s: %s %s: %w: %s", h.Name, name, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

// Sysctl sets a kernel parameter below net of the host, such as
// "ipv4.tcp_congestion_control".
func (h *Host) Sysctl(name, value string) error {
	path := "/proc/sys/net/" + strings.ReplaceAll(name, ".", "/")
	err := h.Do(func() error { return os.WriteFile(path, []byte(value), 0) })
	if err != nil {
		return fmt.Errorf("lab: host %s: set net.%s to %s: %w", h.Name, name, value, err)
	}
	return nil
}

// Forward makes the host a router, for IPv4 and, where there is any, IPv6.
func (h *Host) Forward() error {
	if err := h.Sysctl("ipv4.ip_forward", "1"); err != nil || !haveIPv6() {
		return err
	}
	return h.Sysctl("ipv6.conf.all.forwarding", "1")
}

// DefaultVia sends what has no better route to the gateway.
func (h *Host) DefaultVia(gateway netip.Addr) error {
	err := h.nl.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()})
	if err != nil {
		return fmt.Errorf("lab: host %s: default route via %v: %w", h.Name, gateway, err)
	}
	return nil
}

// Emulate applies cfg to the packets, of IPv4, that the host, a router, forwards
// from the interface in. It must be called once per interface.
func (h *Host) Emulate(in *Iface, cfg emu.Config) (*emu.Emulator, error) {
	queue := len(h.emus)
	e, err := h.emulator(cfg)
	if err != nil {
		return nil, err
	}
	return e, h.Run("iptables", "-w", "-A", "FORWARD", "-i", in.name, "-j", "NFQUEUE", "--queue-num", fmt.Sprint(queue))
}

// emulator starts an emulator for the host's next netfilter queue.
func (h *Host) emulator(cfg emu.Config) (e *emu.Emulator, err error) {
	err = h.Do(func() (err error) {
		e, err = emu.Start(uint16(len(h.emus)), cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.emus = append(h.emus, e)
	return e, nil
}

// tables loads rules in the format of iptables-save, beside those there are, for
// the families of addresses.
func (h *Host) tables(f Family, rules string) error {
	for _, program := range []string{"iptables-restore", "ip6tables-restore"} {
		if f == IPv6 && program[2] == 't' || f == IPv4 && program[2] == '6' {
			continue
		}
		if err := h.feed(rules, program, "--noflush", "--wait"); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) close() error {
	h.cancel()
	var errs []error
	for _, e := range h.emus {
		errs = append(errs, e.Close())
	}
	<-h.ended
	if h.nl != nil {
		h.nl.Close()
	}
	return errors.Join(append(errs, unix.Close(int(h.ns)))...)
}
