// Package resolvconf points a host's programs at servald's DNS server, and puts
// everything back as it was.
//
// There are two ways. With systemd-resolved, only names below svc.serval are sent to
// servald, by settings of one network interface that vanish with it. Without, servald
// takes the place of the servers in resolv.conf, and forwards to them; the file that
// was there is kept beside it. If servald is killed, [Recover] restores it at the next
// start; until then programs go on to the servers that were there before, which are
// still in the file.
package resolvconf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Modes of a Config.
const (
	Auto     = "auto"     // systemd-resolved where programs use it, else the file
	File     = "file"     // resolv.conf
	Resolved = "resolved" // systemd-resolved
)

// DefaultPath is the file that programs read.
const DefaultPath = "/etc/resolv.conf"

// domain is what servald answers for.
const domain = "svc.serval"

// Config says how to set a host up. Server is required.
type Config struct {
	// Mode is Auto, File or Resolved; "" means Auto.
	Mode string

	// Server is where servald's DNS server listens. In the file it must be at port
	// 53, because the file has no ports.
	Server netip.AddrPort

	// Link is the interface whose settings tell systemd-resolved of the server: the
	// TUN device, which vanishes with servald. "" makes one for the purpose.
	Link string

	// Path is the file; "" means DefaultPath.
	Path string

	// Every is how often to look whether others have changed the settings; 0 means
	// 3 seconds for the file and a minute for systemd-resolved.
	Every time.Duration

	Logger *slog.Logger // nil discards
}

func (c *Config) fill() error {
	if c.Path == "" {
		c.Path = DefaultPath
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch c.Mode {
	case "":
		c.Mode = Auto
	case Auto, File, Resolved:
	default:
		return fmt.Errorf("resolv.conf: there is no mode %q; choose %s, %s or %s", c.Mode, Auto, File, Resolved)
	}
	if !c.Server.IsValid() || c.Server.Addr().IsUnspecified() {
		return fmt.Errorf("resolv.conf: programs cannot ask a DNS server at %v; let it listen on an address of this host", c.Server)
	}
	return nil
}

// Setup is a host that is set up. All methods are safe for concurrent use.
type Setup struct {
	how    way
	mode   string
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	servers []string
}

// way is one of the two ways.
type way interface {
	// set makes the settings and returns the servers that others are to ask.
	set(ctx context.Context) (servers []string, err error)
	// check sets up again what others have undone, and reports whether it did.
	check(ctx context.Context) (again bool, servers []string, err error)
	// restore undoes what is still there of set.
	restore() error
}

// Set sets the host up. First it does what Recover does. changed is called from another
// goroutine, until Close returns, with servers that came in place of those to forward
// to; it may be nil.
func Set(ctx context.Context, cfg Config, changed func(servers []string)) (*Setup, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if err := Recover(cfg.Path, cfg.Logger); err != nil {
		return nil, err
	}
	s := &Setup{mode: cfg.Mode}
	if s.mode == Auto {
		s.mode = File
		if usesResolved(cfg.Path) {
			s.mode = Resolved
		}
	}
	every := cfg.Every
	var err error
	if s.mode == Resolved {
		s.how = &resolved{cfg: cfg}
		every = cmp.Or(every, time.Minute)
	} else {
		s.how = &file{cfg: cfg}
		every = cmp.Or(every, 3*time.Second)
	}
	if s.servers, err = s.how.set(ctx); err != nil {
		return nil, errors.Join(err, s.how.restore())
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.tasks.Go(func() { s.watch(watch, every, cfg.Logger, changed) })
	return s, nil
}

// Mode returns which way was chosen: File or Resolved.
func (s *Setup) Mode() string { return s.mode }

// Servers returns the DNS servers that the host had before, as addresses: those to
// forward to.
func (s *Setup) Servers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.servers)
}

// Close puts everything back as it was.
func (s *Setup) Close() error {
	s.cancel()
	s.tasks.Wait()
	return s.how.restore()
}

// mostAgain is how often in mostFor settings are made again that others undo. Then
// they win: two programs that set the same for ever help nobody.
const (
	mostAgain = 5
	mostFor   = 10 * time.Minute
)

func (s *Setup) watch(ctx context.Context, every time.Duration, log *slog.Logger, changed func([]string)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var times []time.Time
	complained := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		again, servers, err := s.how.check(ctx)
		if err != nil {
			if ctx.Err() == nil && err.Error() != complained {
				complained = err.Error()
				log.Warn("DNS settings of this host were changed by somebody else and could not be made again", "err", err)
			}
			continue
		}
		complained = ""
		if !again {
			continue
		}
		log.Info("DNS settings of this host were changed by somebody else, and were made again; the change is kept for when servald ends", "servers", servers)
		s.mu.Lock()
		differ := !slices.Equal(s.servers, servers)
		s.servers = servers
		s.mu.Unlock()
		if differ && changed != nil {
			changed(slices.Clone(servers))
		}
		now := time.Now()
		times = slices.DeleteFunc(append(times, now), func(t time.Time) bool { return now.Sub(t) > mostFor })
		if len(times) >= mostAgain {
			log.Warn("DNS settings of this host are changed again and again by somebody else; servald leaves them alone from now on: names of services may not be found, until `servald reload`", "server", s.mode)
			return
		}
	}
}
