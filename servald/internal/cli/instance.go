package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/check"
	"github.com/serval-net/serval/servald/internal/splice"
)

// instanceFlags are the options of an instance that is put behind a name.
type instanceFlags struct {
	weight, priority int
	balance          string
	keys             []string
	check, load      string
	every            time.Duration
}

const instanceHelp = `Diallers spread over the instances of a name by --weight, use those of a lower
--priority only when the others are gone or busy, and may be asked with --balance to
choose otherwise. An instance with --keys answers for a part of the name's keys.

With --check the server is asked how it is: tcp connects to it, an URL is fetched, and
a command run as cmd:COMMAND. The name is registered once the server is well, withdrawn
when it has failed twice, and registered again when it has been well twice.

How busy the instance is, from 0 to 1 and more, is its share of --max; --load takes a
number from an URL or a command instead. From 1 on it refuses, and diallers go elsewhere.`

func (f *instanceFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.weight, "weight", 1, "share of this instance among those of its priority, 1 to 65535")
	flags.IntVar(&f.priority, "priority", 0, "larger ones are dialled first, -32768 to 32767")
	flags.StringVar(&f.balance, "balance", "", "`how` diallers should choose: weighted, least-load, nearest or hash")
	flags.StringSliceVar(&f.keys, "keys", nil, "`prefixes` of the keys that it owns, such as 8/1 for the upper half")
	flags.StringVar(&f.check, "check", "", "how to see that the server is well: tcp, `URL` or cmd:COMMAND")
	flags.StringVar(&f.load, "load", "", "where to learn how busy it is: `URL` or cmd:COMMAND")
	flags.DurationVar(&f.every, "check-every", 2*time.Second, "time between checks, and between questions for the load")
}

// instanceOptions are instanceFlags as understood.
type instanceOptions struct {
	listen serval.ListenConfig
	check  *check.Probe
	load   *check.Probe
	every  time.Duration
}

// parse reads the flags. The server is reached by dial, which is nil if it is a
// command.
func (f *instanceFlags) parse(dial func(context.Context) (net.Conn, error)) (o instanceOptions, err error) {
	o.listen.Weight, o.listen.Priority, o.every = f.weight, f.priority, f.every
	if f.weight < 1 {
		return o, usageError{errors.New("the weight of an instance is at least 1; to take it out of service, drain it")}
	}
	if f.every <= 0 {
		return o, usageError{errors.New("--check-every must be more than 0, such as 2s")}
	}
	if o.listen.Balance, err = resolver.ParseBalance(f.balance); err != nil {
		return o, usageError{err}
	}
	if o.listen.Keys, err = parseAll(f.keys, sal.ParseKeyPrefix); err != nil {
		return o, usageError{err}
	}
	if f.check != "" {
		p, err := check.Parse(f.check, dial)
		if err != nil {
			return o, usageError{err}
		}
		o.check = &p
	}
	if f.load != "" {
		p, err := check.Parse(f.load, nil)
		if err != nil {
			return o, usageError{err}
		}
		o.load = &p
	}
	return o, nil
}

// serveInstance registers the name when the server is well, and serves until ctx is
// done; ready is called once, when it is registered.
func (a *App) serveInstance(ctx context.Context, n node, name string, p *splice.Proxy, o instanceOptions, ready func(net.Listener)) error {
	if _, err := sal.ParseName(name); err != nil {
		return err
	}
	log := a.logger()
	watching, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer func() {
		stop()
		watchers.Wait()
	}()
	config := check.Config{Every: o.every}
	if o.check != nil {
		if err := check.Await(ctx, config, o.check.Check, func(err error) { a.note("%s waits for its server: %v", name, err) }); err != nil {
			return nil // it was told to stop
		}
	}
	o.listen.Load = p.Load
	if o.load != nil {
		var g check.Gauge
		watchers.Go(func() { g.Follow(watching, o.every, *o.load, log) })
		o.listen.Load = g.Value
	}
	ln, err := n.ListenAs(ctx, o.listen, name)
	if err != nil {
		return err
	}
	ready(ln)
	if o.check != nil {
		watchers.Go(func() {
			check.Watch(watching, config, o.check.Check, func(ill error) { a.follow(watching, log, name, ln, ill) })
		})
	}
	return a.proxy(ctx, p, ln)
}

// follow makes an instance be found or not, as its server is well or ill.
func (a *App) follow(ctx context.Context, log *slog.Logger, name string, ln instanceListener, ill error) {
	set := ln.Resume
	if ill != nil {
		a.note("%s is withdrawn, its server is ill: %v", name, ill)
		set = ln.Suspend
	} else {
		a.note("%s is back, its server is well", name)
	}
	if err := set(ctx); err != nil && ctx.Err() == nil {
		log.Warn("the registrar does not know yet", "service", name, "err", err)
	}
}
