//go:build linux

// Package catalogue is the real programs that are run over Serval without their
// knowing: how each is started, what it must print, and how long it lasts while the
// network breaks below it. Their servers are as real.
package catalogue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/legacy/stage"
)

// Program is one client program in one use.
type Program struct {
	Name    string
	Needs   []string // commands that must be there
	Ways    []stage.Way
	Quick   bool // it is in the part that every test run does
	service string
	udp     bool // what lasts goes by UDP

	// works runs the program once, briefly, and checks what it did.
	works func(ctx context.Context, c *call) error
	// lasts runs it for so long at least; nil if nobody keeps it running. It is not
	// there for programs whose connections are short by nature.
	lasts func(ctx context.Context, c *call, d time.Duration) error
}

// Service is the name of the service that the program uses.
func (p *Program) Service() string { return p.service }

// Lasts says that the program is one that goes on for long, whatever happens to the
// network. Capture leaves programs the host's own addresses, so that datagrams from
// that of an interface that is gone cannot be sent.
func (p *Program) Lasts(by stage.Way) bool {
	return p.lasts != nil && !(p.udp && by == stage.Capture)
}

// All lists the programs.
func All() []*Program {
	return slices.Concat(webPrograms(), shellPrograms(), dataPrograms(), mediaPrograms())
}

// Missing names the commands, of the program and of its server, that this machine
// lacks.
func (p *Program) Missing() (missing []string) {
	for _, n := range append(slices.Clone(p.Needs), servers[p.service].needs...) {
		if _, err := stage.Find(n); err != nil && !slices.Contains(missing, n) {
			missing = append(missing, n)
		}
	}
	return missing
}

// call is one run of a program by one way.
type call struct {
	way   stage.Way
	stage *stage.Stage
	dir   string // for the run's files
	seed  *seed

	// Where the program finds its service: a name, or the address where servald
	// forward listens.
	host, port string
	// The proxies to use, by the way of SOCKS5: host:port.
	socks, http string
}

// at is host:port.
func (c *call) at() string { return c.host + ":" + c.port }

// run runs the program by the call's way, and returns what it printed.
func (c *call) run(ctx context.Context, args ...string) (string, error) {
	return c.runWith(ctx, nil, args...)
}

// runWith is run with more in the environment.
func (c *call) runWith(ctx context.Context, env []string, args ...string) (string, error) {
	return c.stage.RunBy(ctx, c.way, append([]string{"HOME=" + c.dir, "LC_ALL=C.UTF-8"}, env...), args...)
}

// expect is run for a program that must print all of these.
func (c *call) expect(ctx context.Context, want []string, args ...string) error {
	out, err := c.run(ctx, args...)
	if err != nil {
		return err
	}
	return prints(out, want...)
}

// prints checks that a text holds all of these.
func prints(out string, want ...string) error {
	for _, w := range want {
		if !strings.Contains(out, w) {
			return fmt.Errorf("no %q in what it printed:\n%.1500s", w, out)
		}
	}
	return nil
}

// file is a file of the run.
func (c *call) file(name string) string { return c.dir + "/" + name }

// same checks that a file that came over the network is that of the seed.
func (c *call) same(name, want string) error {
	got, err := os.ReadFile(c.file(name))
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%s has %d bytes that are not the %d bytes of the original", name, len(got), len(want))
	}
	return nil
}

var errEarly = errors.New("it ended before the network was mended")
