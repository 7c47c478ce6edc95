package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/servald/internal/progress"
	"github.com/serval-net/serval/servald/internal/splice"
	"github.com/serval-net/serval/servald/internal/transfer"
	"github.com/serval-net/serval/servald/internal/units"
)

func (a *App) sendCommand() *cobra.Command {
	var serve, quiet bool
	var timeout time.Duration
	p := &splice.Proxy{}
	cmd := &cobra.Command{
		Use:   "send NAME PATH...",
		Short: "Send files and directories to a service that runs recv --serve",
		Long: `send sends files, and directories with all below them, to an instance of the service
and ends when the receiver has confirmed that each arrived with the same SHA-256.
Symbolic links below a directory are not sent, but named.

With --serve it is the other way round: the files are offered under the name, and
everyone who runs recv gets them.`,
		Example: `  servald recv --serve svc:inbox ~/Downloads     # on one host
  servald send svc:inbox report.pdf photos/      # on another`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := transfer.Scan(args[1:]...)
			if err != nil {
				return err
			}
			for _, path := range list.Skipped {
				a.note("not sent, for it is neither a file nor a directory: %s", path)
			}
			return a.exchange(cmd.Context(), args[0], serve, timeout, p, func(ctx context.Context, conn net.Conn, dialed bool) error {
				return a.report(conn, "sent", quiet || serve, func(m transfer.Events) (transfer.Summary, error) {
					return transfer.Send(ctx, conn, list, transfer.Options{Dialed: dialed, Events: m})
				})
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&serve, "serve", "s", false, "offer the files to everyone who dials the name")
	f.BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	timeoutFlag(cmd, &timeout)
	proxyFlags(cmd, p)
	return cmd
}

func (a *App) recvCommand() *cobra.Command {
	var serve, quiet bool
	var timeout time.Duration
	var opt transfer.ReceiveOptions
	p := &splice.Proxy{}
	cmd := &cobra.Command{
		Use:   "recv NAME [DIRECTORY]",
		Short: "Receive files and directories from a service that runs send --serve",
		Long: `recv puts what a sender sends into the directory, the current one by default. A file
appears under its name only when it is complete and its SHA-256 fits. Files that exist
are not replaced unless --overwrite says so.

With --serve it is the other way round: everyone who runs send to the name puts files
into the directory.`,
		Example: `  servald send --serve svc:release build/app.tar  # on one host
  servald recv svc:release /tmp                   # on any other`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 2 {
				dir = args[1]
			}
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				return fmt.Errorf("%s is not a directory: create it first", dir)
			}
			return a.exchange(cmd.Context(), args[0], serve, timeout, p, func(ctx context.Context, conn net.Conn, dialed bool) error {
				return a.report(conn, "received", quiet || serve, func(m transfer.Events) (transfer.Summary, error) {
					o := opt
					o.Options = transfer.Options{Dialed: dialed, Events: m}
					return transfer.Receive(ctx, conn, dir, o)
				})
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&serve, "serve", "s", false, "take files from everyone who dials the name")
	f.BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	f.BoolVar(&opt.Overwrite, "overwrite", false, "replace files that exist")
	f.Var((*units.Size)(&opt.MaxBytes), "max-bytes", "refuse transfers that are larger, such as 10G; 0 B is no limit")
	timeoutFlag(cmd, &timeout)
	proxyFlags(cmd, p)
	return cmd
}

// exchange runs one transfer over a dialled connection, or one over each accepted.
func (a *App) exchange(ctx context.Context, name string, serve bool, timeout time.Duration, p *splice.Proxy,
	do func(ctx context.Context, conn net.Conn, dialed bool) error) error {
	return a.withNode(ctx, func(n node) error {
		if !serve {
			conn, err := a.dial(ctx, n, name, timeout)
			if err != nil {
				return err
			}
			return do(ctx, conn, true)
		}
		ln, err := n.Listen(name)
		if err != nil {
			return err
		}
		a.note("exchanging files on %s", ln.Addr())
		p.Handle = func(ctx context.Context, conn net.Conn) error {
			if err := do(ctx, conn, false); err != transfer.ErrNoHello {
				return err
			}
			return nil
		}
		return a.proxy(ctx, p, ln)
	})
}

// report runs a transfer with a progress bar and says how it went.
func (a *App) report(conn net.Conn, did string, quiet bool, do func(transfer.Events) (transfer.Summary, error)) error {
	peer := conn.RemoteAddr().String()
	var events transfer.Events
	finish := func() {}
	if f, ok := a.err.(*os.File); ok && !quiet {
		meter := progress.New(f)
		events, finish = meter, meter.Finish
	}
	start := time.Now()
	sum, err := do(events)
	elapsed := time.Since(start)
	finish()
	if err != nil {
		if sum.Files > 0 && !errors.Is(err, context.Canceled) {
			a.note("%d files were %s before it failed", sum.Files, did)
		}
		return err
	}
	rate := units.BitsPerSecond(sum.Bytes, elapsed)
	if a.json {
		return a.printJSON(struct {
			transfer.Summary
			Peer          string  `json:"peer"`
			Seconds       float64 `json:"seconds"`
			BitsPerSecond float64 `json:"bits_per_second"`
		}{sum, peer, elapsed.Seconds(), rate})
	}
	a.print("%s %d files, %s in %s, %s, %s", did, sum.Files, units.Bytes(sum.Bytes), units.Duration(elapsed), units.Rate(rate), peer)
	return nil
}
