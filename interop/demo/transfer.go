//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/scenario"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// dialTimeout bounds how long the client waits for the server.
const dialTimeout = 10 * time.Second

// startServer accepts connections: the first byte says which way the data goes,
// the second which of them it is.
func (p *program) startServer(config serval.Config) (err error) {
	book := &cluster.AddrBook{}
	config.Registrar = book
	if p.node, err = serval.NewNode(config); err != nil {
		return err
	}
	l, err := p.node.Listen(service)
	if err != nil {
		return err
	}
	p.say(report{Ready: true, Addrs: book.Addrs()})
	go func() {
		for {
			c, err := l.AcceptConn()
			if err != nil {
				return
			}
			go func() {
				var head [2]byte
				if _, err := io.ReadFull(c, head[:]); err != nil {
					return
				}
				p.transfer(c, head[0] == 'u', streamName("upload", int(head[1]), p.spec.Options.Streams))
			}()
		}
	}()
	return nil
}

func (p *program) startClient(config serval.Config) (err error) {
	name, err := sal.ParseName(service)
	if err != nil {
		return err
	}
	o := p.spec.Options
	config.Interfaces = o.Costs
	config.Resolver = resolver.NewStatic(resolver.Instance{Service: name, Addrs: p.spec.Addrs})
	if p.node, err = serval.NewNode(config); err != nil {
		return err
	}
	for n := range o.Streams {
		if o.Down {
			err = errors.Join(err, p.dial('d', n+1))
		}
		if o.Up {
			err = errors.Join(err, p.dial('u', n+1))
		}
	}
	if err == nil {
		p.say(report{Ready: true})
	}
	return err
}

// dial opens a connection and starts its transfer.
func (p *program) dial(way byte, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	c, err := p.node.DialConn(ctx, "serval", service)
	if err != nil {
		return err
	}
	if o := p.spec.Options; o.Start != "" {
		if err := c.Migrate(ctx, serval.MigrateTo{Flow: serval.AllFlows, Interface: o.Start}); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.conns = append(p.conns, c)
	several := len(p.conns) > 1
	p.mu.Unlock()
	label := ""
	if several || p.spec.Options.Streams > 1 {
		label = strconv.Itoa(n)
	}
	go p.watch(label, c)
	if _, err := c.Write([]byte{way, byte(n)}); err != nil {
		return err
	}
	go p.transfer(c, way == 'd', streamName("download", n, p.spec.Options.Streams))
	return nil
}

func streamName(what string, n, of int) string {
	if of == 1 {
		return what
	}
	return fmt.Sprintf("%s %d", what, n)
}

// transfer receives a stream until the end, or sends one.
func (p *program) transfer(c *serval.Conn, receive bool, name string) {
	if receive {
		r := &receiver{recorder: scenario.NewRecorder(time.Now())}
		p.mu.Lock()
		p.records[name] = r
		p.mu.Unlock()
		r.run(c)
		return
	}
	var bytes pattern
	for {
		if _, err := c.Write(bytes.next(64 << 10)); err != nil {
			return
		}
	}
}

// obey does what the scenario tells a program:
//
//	migrate N IFACE   the N-th connection
//	policy N POLICY
func (p *program) obey(line string) error {
	words := strings.Fields(line)
	if len(words) != 3 {
		return errors.New("want: migrate N IFACE, or policy N POLICY")
	}
	n, err := strconv.Atoi(words[1])
	p.mu.Lock()
	if err != nil || n < 1 || n > len(p.conns) {
		p.mu.Unlock()
		return fmt.Errorf("there is no connection %q", words[1])
	}
	c := p.conns[n-1]
	p.mu.Unlock()
	switch words[0] {
	case "migrate":
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		return c.Migrate(ctx, serval.MigrateTo{Flow: serval.AllFlows, Interface: words[2]})
	case "policy":
		policy, err := serval.ParsePolicy(words[2])
		if err != nil {
			return err
		}
		return c.SetPolicy(policy)
	}
	return fmt.Errorf("unknown word %q", words[0])
}

// receiver reads a stream and checks every byte.
type receiver struct {
	mu       sync.Mutex
	recorder *scenario.Recorder
	pattern  pattern
	err      error
}

func (r *receiver) run(c io.Reader) {
	buf := make([]byte, 256<<10)
	for {
		n, err := c.Read(buf)
		now := time.Now()
		r.mu.Lock()
		r.recorder.Add(now, n)
		if r.err == nil {
			r.err = r.pattern.check(buf[:n])
		}
		if r.err == nil && err != nil {
			r.err = fmt.Errorf("the connection ended: %w", err)
		}
		failed := r.err != nil
		r.mu.Unlock()
		if failed {
			return
		}
	}
}

// finish returns what was received so far.
func (r *receiver) finish() (scenario.Record, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recorder.Finish(time.Now()), uint64(r.pattern.offset), r.err
}
