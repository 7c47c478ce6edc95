package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// Config describes what a carrier does.
type Config struct {
	Command []string // the program and its arguments

	// Open starts what the program's traffic leads to. It is called once, while the
	// namespaces are being made; close is called at the end.
	Open func(ctx context.Context) (h tun.Handler, close func() error, err error)

	// Server is the address at which the Handler answers DNS; zero is the first of
	// vaddr.DefaultPrefix4.
	Server netip.Addr

	// Verbose keeps standard error open for Log, even if the program closes it.
	Verbose bool
	Log     *slog.Logger // nil is slog.Default()
}

// How long the program's last traffic may take after its end.
const (
	lingerStreams   = 20 * time.Second
	lingerDatagrams = 250 * time.Millisecond
)

// Carry is the carrier, started by Front in a process of its own; fd is the descriptor
// that leads to the front. It returns when there is nothing more to carry. What went
// wrong before the program started is the front's to tell.
func Carry(ctx context.Context, fd int, cfg Config) error {
	ignored := readIgnored()
	inherited := inheritedFiles()
	p, err := newPeer(fd)
	if err != nil {
		return err
	}
	defer p.Close()
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if !cfg.Server.IsValid() {
		cfg.Server = vaddr.DefaultPrefix4.Addr().Next()
	}
	c := &carrier{cfg: cfg, peer: p, front: os.Getppid(), environment: os.Environ(), gone: make(chan struct{}), frontGone: make(chan struct{}), moved: make(chan kind, 1)}
	for _, fd2 := range inherited {
		if fd2 != fd {
			c.inherited = append(c.inherited, fd2)
		}
	}
	// Signals are the front's to pass on: for us there are none but SIGKILL.
	caught := catchSignals(ignored)
	go func() {
		for s := range caught {
			if s == unix.SIGCONT {
				c.continued()
			}
		}
	}()
	if err := c.run(context.WithoutCancel(ctx)); err != nil {
		code := CodeFailed
		var e *Error
		if errors.As(err, &e) {
			code = e.Code
		}
		p.send(message{Kind: kindFailed, Error: err.Error(), Code: code})
	}
	return nil
}

// carrier is the process that carries the program's traffic.
type carrier struct {
	cfg         Config
	peer        peer
	front       int // its pid
	inherited   []int
	environment []string

	ns    *namespace
	stack *tun.Stack

	group int // that is the program's, to begin with

	moved     chan kind     // what the front has done about its process group
	frontGone chan struct{} // closed when the front is
	gone      chan struct{} // closed when no descendant is left

	mu      sync.Mutex
	started bool // the program was
	program int  // its pid until it ends
	stopped bool // by a signal
}

func (c *carrier) run(ctx context.Context) error {
	if err := adoptOrphans(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go c.listen(cancel)

	type opened struct {
		h     tun.Handler
		close func() error
		err   error
	}
	opening := make(chan opened, 1)
	go func() {
		h, close, err := c.cfg.Open(ctx)
		opening <- opened{h, close, err}
	}()
	dev, err := c.setUp()
	o := <-opening
	if o.err == nil {
		defer func() {
			if err := o.close(); err != nil {
				c.cfg.Log.Debug("closing", "err", err)
			}
		}()
	}
	if err := errors.Join(err, o.err); err != nil {
		if dev != nil {
			dev.Close()
		}
		return err
	}
	defer c.ns.close()
	c.stack, err = tun.New(dev, o.h, tun.Config{Log: c.cfg.Log})
	if err != nil {
		dev.Close()
		return err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := c.stack.Run(ctx); err != nil {
			c.cfg.Log.Error("the program's network has ended", "err", err)
		}
	}()
	defer func() { cancel(); <-served }()
	if stop, err := c.mirror(ctx); err != nil {
		c.cfg.Log.Warn("localhost's ports are not there for the program", "err", err)
	} else {
		defer stop()
	}
	if err := c.join(); err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	go c.wait()
	leaveFiles(c.inherited, false)
	writeFromBackground()
	select {
	case <-c.gone:
	case <-c.frontGone:
		c.mu.Lock()
		running := c.program != 0
		c.mu.Unlock()
		if running { // it was killed
			killDescendants(c.gone)
			return nil
		}
		<-c.gone
	}
	c.linger()
	return nil
}

// setUp makes the program's namespaces.
func (c *carrier) setUp() (tun.Device, error) {
	effective, ambient, err := readPrivileges(c.front)
	if err != nil {
		return nil, err
	}
	users := needsUsers(effective)
	world6 := hostHasIPv6()
	ports := readPorts()
	if c.ns, err = newNamespace(); err != nil {
		if users {
			err = explainUsers(err)
		}
		return nil, err
	}
	var dev tun.Device
	err = c.ns.do(func() error {
		var err error
		if dev, err = setUpNetwork(world6); err != nil {
			return err
		}
		ports.write()
		if err := setUpMounts(c.cfg.Server, users); err != nil {
			return err
		}
		if users {
			return restrict(effective, ambient)
		}
		return nil
	})
	return dev, err
}

// mirror makes localhost's ports available on both sides, and the host's at once.
func (c *carrier) mirror(ctx context.Context) (stop func(), err error) {
	m, err := newMirror(c.ns, c.cfg.Log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m.look(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.run(ctx)
	}()
	return func() { cancel(); <-done }, nil
}

// listen takes what the front says.
func (c *carrier) listen(cancel func()) {
	defer close(c.frontGone)
	for {
		m, err := c.peer.receive()
		if err != nil {
			c.mu.Lock()
			if !c.started {
				cancel()
			}
			c.mu.Unlock()
			return
		}
		switch m.Kind {
		case kindLeft, kindStays:
			select {
			case c.moved <- m.Kind:
			default:
			}
		case kindSignal:
			c.mu.Lock()
			if c.program != 0 {
				unix.Kill(c.program, unix.Signal(m.Signal))
			}
			c.mu.Unlock()
		}
	}
}

// errInterrupted is told to nobody: the front is gone.
var errInterrupted = errors.New("interrupted")

// start starts the program.
func (c *carrier) start() error {
	path, err := lookUp(c.cfg.Command[0])
	if err != nil {
		return err
	}
	select {
	case <-c.frontGone:
		return errInterrupted
	default:
	}
	path, args := takeSockets(path, c.cfg.Command, c.environment, c.front)
	attr := &syscall.ProcAttr{Env: c.environment, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{
		Setpgid: true, Pgid: c.group, Pdeathsig: syscall.SIGKILL}}
	err = c.ns.do(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		var err error
		if c.program, err = syscall.ForkExec(path, args, attr); err != nil {
			c.program = 0
		}
		c.started = true
		return err
	})
	if err != nil {
		return &Error{CodeNotExecutable, fmt.Errorf("%s cannot be run: %w", c.cfg.Command[0], err)}
	}
	return c.peer.send(message{Kind: kindStarted})
}

// takeSockets returns how to start a program that gets its sockets from systemd
// (sd_listen_fds(3)): they are for the process that the environment names, which
// should not be the front but the program.
func takeSockets(path string, command, environment []string, front int) (string, []string) {
	for _, v := range environment {
		if v == "LISTEN_PID="+strconv.Itoa(front) {
			return "/bin/sh", append([]string{"sh", "-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$@"`, "sh"}, command...)
		}
	}
	return path, command
}

// wait waits for the program and all that it leaves behind.
func (c *carrier) wait() {
	defer close(c.gone)
	c.mu.Lock()
	program := c.program
	c.mu.Unlock()
	for {
		var status unix.WaitStatus
		options := unix.WUNTRACED | unix.WCONTINUED | unix.WALL
		pid, err := unix.Wait4(-1, &status, options, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // no child is left
			return
		case pid != program:
		case status.Stopped():
			c.stoppedBy(status.StopSignal())
		case status.Continued():
			// The shell continues the program's process group, and the front is not in it.
			c.mu.Lock()
			c.stopped = false
			c.mu.Unlock()
			go c.wakeFront()
		default:
			c.mu.Lock()
			c.program = 0
			c.mu.Unlock()
			c.peer.send(message{Kind: kindEnded, Status: uint32(status)})
			go c.wakeForEnd()
			leaveFiles(nil, !c.cfg.Verbose)
		}
	}
}

// linger lets the traffic end that the program has left behind, as the kernel does for
// programs with a network of their own.
func (c *carrier) linger() {
	began := time.Now()
	for {
		s := c.stack.Stats()
		passed := time.Since(began)
		if passed > lingerStreams || s.Streams == 0 && s.Opening == 0 && (s.Flows == 0 || passed > lingerDatagrams) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
