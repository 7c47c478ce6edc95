//go:build linux

// Package rig runs a connection over a network that is about to break: a client
// and a server process on the hosts of a lab network, and what both saw.
//
// A program that uses it must hand itself over first, since the processes are
// this same program:
//
//	if rig.IsProcess() {
//		return rig.Process()
//	}
package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/bench/peer"
	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/lab"
)

// IsProcess reports whether this process was started by a Rig.
func IsProcess() bool {
	return len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "client")
}

// Process does what the Rig that started this process wants.
func Process() error { return traffic.Process(os.Args[1:], peer.Mobiles()) }

// portOfServers is where those servers listen that cannot choose.
const portOfServers = 7000

// startTimeout bounds how long a process may take to be ready.
const startTimeout = 20 * time.Second

// Rig is a connection, or many, between two processes. Its methods are not safe
// for concurrent use.
type Rig struct {
	Net  *lab.Paths
	Kind traffic.Kind
	// From is when the connection was open.
	From time.Duration

	client, server *process
	third          *process // a rendezvous, if the network has a third host
	system         string
	env            []string // of the processes
}

// Build builds a network for a system. Those that need one address of the server
// that is reachable over all paths get it, unless all reach all; serval does
// without.
func Build(system string, t lab.Topology) (*lab.Paths, error) {
	t.ServerLo = !strings.HasPrefix(system, "serval") && !t.Joined
	paths, err := lab.NewPaths(t)
	if err != nil {
		return nil, err
	}
	for _, h := range []*lab.Host{paths.Client, paths.Server} {
		if err := running(h); err != nil {
			paths.Close()
			return nil, err
		}
	}
	return paths, nil
}

// running waits until all interfaces of a host are reported to be running, for
// which the kernel takes up to a second after they are.
func running(h *lab.Host) error {
	deadline := time.Now().Add(3 * time.Second)
	for {
		var down []string
		err := h.Do(func() error {
			ifaces, err := net.Interfaces()
			for _, i := range ifaces {
				if i.Flags&net.FlagRunning == 0 {
					down = append(down, i.Name)
				}
			}
			return err
		})
		switch {
		case err != nil:
			return err
		case len(down) == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("host %s: %v not running", h.Name, down)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Start starts the processes of a system on the client and the server of a
// network and returns when the connections are open. Without conns there is one.
// The processes end with the context.
func Start(ctx context.Context, net *lab.Paths, system string, kind traffic.Kind, conns int) (*Rig, error) {
	r := &Rig{Net: net, Kind: kind, system: system}
	if err := r.start(ctx, conns); err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", system, err)
	}
	return r, nil
}

func (r *Rig) start(ctx context.Context, conns int) (err error) {
	if r.system == "mptcp" {
		if err := r.announce(); err != nil {
			return err
		}
	}
	if err := r.startThird(ctx); err != nil {
		return fmt.Errorf("rendezvous: %w", err)
	}
	addr := netip.AddrPortFrom(r.serverAddr(), portOfServers)
	if r.server, err = start(ctx, r.Net.Server, r.env, "server", r.system, addr.String()); err != nil {
		return err
	}
	spec := traffic.Spec{Kind: r.Kind, Conns: conns}
	if err := r.server.expect(traffic.Ready, startTimeout, &spec.Addrs); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	arg, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if r.client, err = start(ctx, r.Net.Client, r.env, "client", r.system, string(arg)); err != nil {
		return err
	}
	if err := r.client.expect(traffic.Ready, startTimeout, new(any)); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	r.From = traffic.Now()
	return nil
}

// startThird makes the third host, if there is one, a rendezvous for serval.
func (r *Rig) startThird(ctx context.Context) (err error) {
	if len(r.Net.ThirdAddrs) == 0 || !strings.HasPrefix(r.system, "serval") {
		return nil
	}
	var where []string
	for _, a := range r.Net.ThirdAddrs {
		where = append(where, netip.AddrPortFrom(a, portOfServers).String())
	}
	if r.third, err = start(ctx, r.Net.Third, nil, "server", peer.RendezvousSystem, where[0]); err != nil {
		return err
	}
	r.env = []string{peer.RendezvousVariable + "=" + strings.Join(where, ",")}
	return r.third.expect(traffic.Ready, startTimeout, new(any))
}

// serverAddr is what clients dial first.
func (r *Rig) serverAddr() netip.Addr {
	if a := r.Net.ServerAddrs; len(a) > 0 {
		return a[0]
	}
	for _, w := range r.Net.Ways {
		if w.Server != nil {
			return w.Server.Addr()
		}
	}
	return netip.Addr{}
}

// announce tells the client's kernel which addresses MPTCP may use, and both to
// let it: as a daemon would who watches the interfaces.
func (r *Rig) announce() error {
	for _, h := range []*lab.Host{r.Net.Client, r.Net.Server} {
		if err := h.Run("ip", "mptcp", "limits", "set", "subflows", "8", "add_addr_accepted", "8"); err != nil {
			return err
		}
	}
	if err := r.Net.Client.Run("ip", "mptcp", "endpoint", "flush"); err != nil {
		return err
	}
	for _, w := range r.Net.Ways {
		if w.Client == nil {
			continue
		}
		for _, a := range w.Client.Addrs() {
			if err := r.Net.Client.Run("ip", "mptcp", "endpoint", "add", a.String(), "dev", w.Client.Name(), "subflow"); err != nil {
				return err
			}
		}
	}
	return nil
}

// Readdressed must be called when an interface of the client has got another
// address.
func (r *Rig) Readdressed() error {
	if r.system != "mptcp" {
		return nil
	}
	return r.announce()
}

// Outcome is what both applications saw of a connection.
type Outcome struct{ Client, Server traffic.Record }

// Arrived returns the arrivals at the end that receives; for traffic.Ask that is
// the client, which gets the answers.
func (o Outcome) Arrived(kind traffic.Kind) []traffic.Sample {
	if kind == traffic.Up {
		return o.Server.Samples
	}
	return o.Client.Samples
}

// Finish ends the traffic, for which it waits no longer than given, and returns
// what was seen. An error means that the rig failed, not the connection.
func (r *Rig) Finish(wait time.Duration) (Outcome, error) {
	var o Outcome
	var all []traffic.Record
	if err := r.client.call(traffic.Stop, wait.String(), wait+10*time.Second, &o.Client); err != nil {
		return o, fmt.Errorf("%s: client: %w", r.system, err)
	}
	if err := r.server.call(traffic.Stop, "", 10*time.Second, &all); err != nil {
		return o, fmt.Errorf("%s: server: %w", r.system, err)
	}
	if len(all) != 1 {
		return o, fmt.Errorf("%s: the server saw %d connections", r.system, len(all))
	}
	o.Server = all[0]
	return o, nil
}

// Touch wakes idle connections and waits until all have answered, or wait is
// over.
func (r *Rig) Touch(wait time.Duration) (t traffic.Touched, err error) {
	err = r.client.call(traffic.Touch, wait.String(), wait+10*time.Second, &t)
	return t, err
}

// Move moves the client's end of the connection count times, from interface to
// interface.
func (r *Rig) Move(count int, wait time.Duration, ifaces ...string) (m traffic.Moved, err error) {
	err = r.client.call(traffic.Move, fmt.Sprint(count, " ", strings.Join(ifaces, " ")), wait, &m)
	return m, err
}

// Memory returns the bytes of heap and stacks in use at both ends.
func (r *Rig) Memory() (client, server float64, err error) {
	if err = r.client.call(traffic.Memory, "", 10*time.Second, &client); err == nil {
		err = r.server.call(traffic.Memory, "", 10*time.Second, &server)
	}
	return client, server, err
}

// Close ends the processes.
func (r *Rig) Close() {
	for _, p := range []*process{r.client, r.server, r.third} {
		if p != nil {
			p.kill()
		}
	}
}
