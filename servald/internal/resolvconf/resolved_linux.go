package resolvconf

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/servald/internal/tun"
)

const (
	// uplinks is where systemd-resolved lists the servers that it asks itself.
	uplinks = "/run/systemd/resolve/resolv.conf"

	// ownLink is the interface that is made where there is no TUN device.
	ownLink = "serval-dns"
)

// stubs are the addresses at which systemd-resolved answers.
var stubs = []netip.Addr{netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("127.0.0.54")}

func isStub(a netip.Addr) bool { return slices.Contains(stubs, a) }

// usesResolved reports whether programs ask systemd-resolved, and it can be told.
func usesResolved(path string) bool {
	b, err := read(path)
	if err != nil || !slices.ContainsFunc(parse(b).servers, isStub) {
		return false
	}
	_, err = resolvectl(context.Background(), "status")
	return err == nil
}

// resolved is the way by systemd-resolved: the server, for names below svc.serval
// only, is a setting of an interface.
type resolved struct {
	cfg  Config
	link string    // "" until it is set
	own  io.Closer // the interface, if we have made it
}

func (r *resolved) set(ctx context.Context) ([]string, error) {
	link := r.cfg.Link
	if link == "" {
		link = ownLink
	}
	if r.cfg.Link == "" && r.own == nil {
		var err error
		if r.own, err = makeLink(r.cfg.Server.Addr()); err != nil {
			return nil, fmt.Errorf("systemd-resolved needs a network interface for its settings, and none can be made: %w", err)
		}
	}
	r.link = link
	server := r.cfg.Server.String()
	if r.cfg.Server.Port() == 53 {
		server = r.cfg.Server.Addr().String()
	}
	for _, args := range [][]string{
		{"dns", link, server},
		{"domain", link, "~" + domain},
		{"default-route", link, "false"},
		{"llmnr", link, "no"},
		{"mdns", link, "no"},
		{"dnssec", link, "no"}, // nobody signs for names of services
	} {
		if _, err := resolvectl(ctx, args...); err != nil {
			return nil, err
		}
	}
	// Other names go on to be systemd-resolved's: only those below svc.serval come
	// back to us.
	now, err := read(r.cfg.Path)
	if err != nil {
		return nil, nil // nothing else is sent to us anyway
	}
	return addresses(slices.DeleteFunc(parse(now).servers, func(a netip.Addr) bool { return a == r.cfg.Server.Addr() })), nil
}

func (r *resolved) check(ctx context.Context) (again bool, servers []string, err error) {
	out, err := resolvectl(ctx, "domain", r.link)
	if err != nil || strings.Contains(out, domain) {
		return false, nil, err
	}
	servers, err = r.set(ctx)
	return err == nil, servers, err
}

func (r *resolved) restore() error {
	if r.own != nil {
		err := r.own.Close()
		r.own = nil
		return err
	}
	if r.link == "" {
		return nil
	}
	if _, err := net.InterfaceByName(r.link); err != nil {
		return nil // it is gone, and the settings with it
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	_, err := resolvectl(ctx, "revert", r.link)
	return err
}

// makeLink makes the interface: a TUN device, since that vanishes with this process.
// systemd-resolved wants one that is up and has an address; what is sent there is lost.
func makeLink(server netip.Addr) (io.Closer, error) {
	addr := linkAddr
	if !server.IsLoopback() {
		addr = netip.PrefixFrom(server, server.BitLen())
	}
	return tun.Open(ownLink, []netip.Prefix{addr}, 1500)
}

// linkAddr is the address of the interface where the server has one of loopback: the
// last of the virtual ones, which no service has.
var linkAddr = netip.MustParsePrefix("198.19.255.255/32")

// commandTimeout bounds one command.
const commandTimeout = 5 * time.Second

// resolvectl runs the command of systemd-resolved and returns what it prints.
func resolvectl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "resolvectl", append([]string{"--no-pager"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if said := strings.TrimSpace(complaint.String()); said != "" {
			err = fmt.Errorf("%.200s (%w)", said, err)
		}
		return "", fmt.Errorf("systemd-resolved: `resolvectl %s` fails: %w", strings.Join(args, " "), err)
	}
	return out.String(), nil
}
