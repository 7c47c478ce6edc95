// Package cli is servald's command line: one file for each command.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/serval"
)

// App is what the commands share: the streams, the global flags, and the way to a
// node. Its zero value is not useful; see [Main].
type App struct {
	in       io.Reader
	out, err io.Writer

	// open starts the node that a command dials or listens with.
	open func(context.Context, *App) (node, error)

	home   string // directory of the keys
	socket string // of the running servald
	listen []string
	join   []string
	json   bool

	// patience is how long connections wait for a silent peer.
	patience time.Duration
	verbose  bool

	window int // serval.Config.Window of the node

	started bool // the command line was understood
	args    []string

	mu sync.Mutex // one line at a time, whoever writes it
}

// Main runs one command line, without the program's name, and returns the exit code.
func Main(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	return (&App{in: in, out: out, err: err, open: openNode}).run(ctx, args)
}

func (a *App) run(ctx context.Context, args []string) int {
	a.args = args
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var ended endedWith
	if errors.As(err, &ended) {
		return int(ended)
	}
	if !a.started { // whatever fails before the command runs is about its words
		err = usageError{err}
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(a.err, "servald:", err)
	if code := exitCode(err); code != exitUsage {
		return code
	}
	fmt.Fprintln(a.err, "Run `servald help` for the commands, `servald COMMAND --help` for one of them.")
	return exitUsage
}

func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "servald",
		Short: "Dial services by name, serve them, and join the cluster that knows them",
		Long: `servald is the host's door to a Serval cluster. A cluster is made once with init;
other hosts join it with the token that init prints. Then programs dial services by
name, wherever their instances are.

` + exitHelp,
		Example: `  servald init                                  # once, on the first host
  servald join serval1...                       # on each other host
  servald run                                   # on every host: gossip and control socket
  servald serve svc:web --to localhost:80       # put a server behind a name
  servald forward localhost:8080 svc:web        # reach the name from any program
  servald exec -- curl http://web.svc.serval/   # or every name from one program`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.started = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.home, "home", "", "directory of the node's keys (default $SERVAL_HOME, /var/lib/serval for root, else ~/.config/serval)")
	flags.StringVar(&a.socket, "socket", "", "control socket of the running servald (default $SERVAL_SOCKET, else in the run-time directory)")
	flags.StringSliceVar(&a.listen, "listen", nil, "`address`[:port] to use for connections, repeatable (default $SERVAL_LISTEN, else every address)")
	flags.StringSliceVar(&a.join, "join", nil, "`host:port` of a member's gossip, repeatable (default $SERVAL_JOIN, else those in the token)")
	flags.DurationVar(&a.patience, "patience", serval.DefaultPatience, "how long connections wait for a peer that is silent")
	flags.BoolVar(&a.json, "json", false, "print results as JSON, one object per line")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "say on standard error what goes on")

	root.AddCommand(
		a.initCommand(), a.joinCommand(), a.tokenCommand(), a.runCommand(), a.reloadCommand(), a.configCommand(), a.statusCommand(), a.servicesCommand(),
		a.rulesCommand(), a.routesCommand(), a.whyCommand(), a.setCommand(),
		a.flowsCommand(), a.pathsCommand(), a.monitorCommand(), a.migrateCommand(), a.policyCommand(), a.drainCommand(),
		a.dialCommand(), a.serveCommand(), a.forwardCommand(), a.socks5Command(), a.httpProxyCommand(), a.execCommand(), a.pingCommand(), a.perfCommand(),
		a.sendCommand(), a.recvCommand(), a.versionCommand(),
	)
	return root
}

// printJSON writes v as one line of the command's output.
func (a *App) printJSON(v any) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return json.NewEncoder(a.out).Encode(v)
}

// print writes a line of the command's output.
func (a *App) print(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, format+"\n", args...)
}

// note tells a person something that is not the command's output.
func (a *App) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.err, format+"\n", args...)
}

// logger is for what happens in the background.
func (a *App) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.errWriter(), &slog.HandlerOptions{Level: level}))
}

// errWriter is standard error for whoever writes to it beside [App.note].
func (a *App) errWriter() io.Writer {
	if f, ok := a.err.(*os.File); ok {
		return f // as it is, so that commands inherit it
	}
	return lockedErrors{a}
}

type lockedErrors struct{ a *App }

func (w lockedErrors) Write(b []byte) (int, error) {
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	return w.a.err.Write(b)
}
