package expose

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/check"
	"github.com/serval-net/serval/servald/internal/mark"
)

// Defaults of [Config].
const (
	DefaultMax          = 4096
	DefaultDialTimeout  = 10 * time.Second
	DefaultUDPIdle      = 2 * time.Minute // RFC 4787 section 4.3
	DefaultStartTimeout = 30 * time.Second
	DefaultIdleStop     = 5 * time.Minute
	DefaultCheckEvery   = 2 * time.Second
)

// Config says what is put behind a name, and how. To, Command or both must be set;
// every other zero value is a useful default.
type Config struct {
	// Name is the service, such as "svc:shop/cart".
	Name string

	// To is the server, see [ParseTarget]: "host:port", "port" of this host, "host"
	// (the port that the client says), "unix:PATH", or with "udp:" or "tcp+udp:"
	// before it one for datagrams or for both.
	To string

	// Ports bounds the ports that clients may ask for, such as "22", "8000-8099",
	// where To has none. Empty means any.
	Ports []string

	// Command, with its arguments, is started for each connection, with that as
	// its standard input and output. With OnDemand it is the server at To, which
	// must be set: it is started when somebody dials, unless something listens
	// there already, is waited for until it listens, and is stopped when nobody has
	// used it for IdleStop. It must stay in the foreground.
	Command  []string
	OnDemand bool

	// Dir is the working directory of Command, empty for that of this process, and
	// Env what is added to its environment, as KEY=VALUE. With OnDemand its output
	// goes to Server.Output.
	Dir string
	Env []string

	// StartTimeout is how long a Command on demand may take until it listens, 0 is
	// 30 s; IdleStop when it is stopped, 0 is 5 minutes and less than 0 never.
	StartTimeout, IdleStop time.Duration

	// Proxy is "v2" for servers that want to know who calls: each connection, and
	// each datagram, begins with a header of the PROXY protocol, version 2, that
	// names the caller, see [Caller.Header]. Empty sends none.
	Proxy string

	// ProxyAddress is which address of the caller's the header has: "underlay" (or
	// empty), where its host is now, or "virtual", which stays the same for a node
	// for ever.
	ProxyAddress string

	// Weight, Priority, Balance and Keys are those of the instance, as text where
	// serval.ListenConfig has types. Weight 0 is 1.
	Weight, Priority int
	Balance          string
	Keys             []string

	// Check is how to see that the server is well: "tcp", an URL or "cmd:COMMAND",
	// empty for not at all; Load where to learn how busy it is, empty for the share
	// of Max that is open. Both are asked every CheckEvery, 0 is 2 s.
	Check, Load string
	CheckEvery  time.Duration

	// Max is how many connections, and how many sessions of datagrams, are handled
	// at once; others are refused, so that they go to other instances. 0 is 4096.
	// MaxPerClient is how many of each one node may have, 0 for as many as there
	// is room for.
	Max, MaxPerClient int

	// Backlog is how many connections may wait until one of Max has ended, 0 is that
	// of the node, 1024. With half of them waiting the instance counts as half busy.
	Backlog int

	// DialTimeout bounds how long To may take to answer, 0 is 10 s. Idle ends
	// connections on which nothing came or went for so long; 0 is never. UDPIdle
	// does so for sessions of datagrams; 0 is 2 minutes.
	DialTimeout, Idle, UDPIdle time.Duration

	// Drain is how long open connections may go on after Run was told to stop.
	Drain time.Duration
}

// plan is a Config as understood. It does not change.
type plan struct {
	Config
	target Target
	ports  Ports
	listen serval.ListenConfig
	check  *check.Probe
	load   *check.Probe
	path   string // of Command
}

// Validate returns what is wrong with c, and what to write instead.
func (c Config) Validate() error {
	_, err := c.parse()
	return err
}

func (c Config) parse() (p *plan, err error) {
	c.Max = cmp.Or(c.Max, DefaultMax)
	c.DialTimeout = cmp.Or(c.DialTimeout, DefaultDialTimeout)
	c.UDPIdle = cmp.Or(c.UDPIdle, DefaultUDPIdle)
	c.StartTimeout = cmp.Or(c.StartTimeout, DefaultStartTimeout)
	c.IdleStop = cmp.Or(c.IdleStop, DefaultIdleStop)
	c.CheckEvery = cmp.Or(c.CheckEvery, DefaultCheckEvery)
	c.Weight = cmp.Or(c.Weight, 1)
	c.ProxyAddress = cmp.Or(c.ProxyAddress, AddressUnderlay)
	p = &plan{Config: c}
	if _, err := sal.ParseName(c.Name); err != nil {
		return nil, err
	}
	switch {
	case c.To == "" && len(c.Command) == 0:
		return nil, errors.New("say what serves the name: the address of a server, or a command")
	case c.To == "" && c.OnDemand:
		return nil, errors.New("a command that is started on demand needs the address where it will listen, or else is started for each connection")
	case c.To != "" && len(c.Command) > 0 && !c.OnDemand:
		return nil, errors.New("either a command serves each connection, or a server does at an address; to start that server with the command when it is needed, say that it is on demand")
	case c.OnDemand && len(c.Command) == 0:
		return nil, errors.New("what is started on demand needs a command")
	}
	if c.To != "" {
		if p.target, err = ParseTarget(c.To); err != nil {
			return nil, err
		}
		if c.OnDemand && p.target.AnyPort() {
			return nil, fmt.Errorf("%q: a command that is started on demand listens at one port; write host:port", c.To)
		}
	}
	if p.ports, err = ParsePorts(c.Ports); err != nil {
		return nil, err
	}
	if len(c.Ports) > 0 && !p.target.AnyPort() {
		return nil, fmt.Errorf("ports are for a server whose port the client says; %q has one", c.To)
	}
	if len(c.Command) > 0 {
		if p.path, err = exec.LookPath(c.Command[0]); err != nil {
			return nil, err
		}
	}
	if c.Proxy != "" && c.Proxy != ProxyV2 {
		return nil, fmt.Errorf("%q is not a version of the PROXY protocol that is spoken here; write %s", c.Proxy, ProxyV2)
	}
	if c.Proxy != "" && c.To == "" {
		return nil, errors.New("a command learns its caller from its environment; the PROXY protocol is for servers")
	}
	if c.ProxyAddress != AddressUnderlay && c.ProxyAddress != AddressVirtual {
		return nil, fmt.Errorf("%q is no address of a caller; write %s or %s", c.ProxyAddress, AddressUnderlay, AddressVirtual)
	}
	return p, errors.Join(p.parseInstance(), p.parseLimits())
}

func (p *plan) parseInstance() (err error) {
	p.listen.Weight, p.listen.Priority, p.listen.Backlog = p.Weight, p.Priority, p.Backlog
	if p.Weight < 0 || p.Weight > 65535 {
		return errors.New("the weight of an instance is 1 to 65535; to take it out of service, drain it")
	}
	if p.Priority < -32768 || p.Priority > 32767 {
		return errors.New("the priority of an instance is -32768 to 32767")
	}
	if p.listen.Balance, err = resolver.ParseBalance(p.Balance); err != nil {
		return err
	}
	for _, text := range p.Keys {
		k, err := sal.ParseKeyPrefix(text)
		if err != nil {
			return err
		}
		p.listen.Keys = append(p.listen.Keys, k)
	}
	if p.Check != "" && p.OnDemand {
		return errors.New("a server that is started on demand cannot be checked while it does not run; leave the check out")
	}
	if p.Check != "" {
		probe, err := check.Parse(p.Check, p.probeDial())
		if err != nil {
			return err
		}
		p.check = &probe
	}
	if p.Load != "" {
		probe, err := check.Parse(p.Load, nil)
		if err != nil {
			return err
		}
		p.load = &probe
	}
	return nil
}

func (p *plan) parseLimits() error {
	for what, d := range map[string]time.Duration{"the time between checks": p.CheckEvery, "the time to dial": p.DialTimeout,
		"the idle time of datagrams": p.UDPIdle, "the time to start": p.StartTimeout} {
		if d <= 0 {
			return fmt.Errorf("%s must be more than 0, such as 2s", what)
		}
	}
	switch {
	case p.Idle < 0:
		return errors.New("the idle time must not be less than 0, which is for ever")
	case p.Drain < 0:
		return errors.New("the time to drain must not be less than 0")
	case p.Max < 0 || p.MaxPerClient < 0 || p.Backlog < 0:
		return errors.New("how many connections are handled at once, or wait, must not be less than 0")
	}
	return nil
}

// sameCommand reports whether two plans start the same server.
func (p *plan) sameCommand(q *plan) bool {
	return p.path == q.path && slices.Equal(p.Command, q.Command) && slices.Equal(p.Env, q.Env) && p.Dir == q.Dir &&
		p.target == q.target && p.OnDemand == q.OnDemand
}

// what names the server, for people.
func (p *plan) what() string {
	switch {
	case p.To == "":
		return p.path
	case p.OnDemand:
		return fmt.Sprintf("%s, which starts %s", p.target, p.path)
	}
	return p.target.String()
}

// dialer is how servers are dialled: never by way of what captures connections.
var dialer = net.Dialer{Control: mark.Control}
