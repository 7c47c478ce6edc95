package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/daemon"
)

func (a *App) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the running servald, who it gossips with, and what its configuration runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDaemon(func(c *control.Client) error {
				var s daemon.Status
				if err := c.Status(cmd.Context(), &s); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(s)
				}
				a.print("node     %s %s", s.Node, s.Name)
				a.print("cluster  %s, member until %s", s.Cluster, s.Expires.Format(time.DateOnly))
				a.print("up       %s", time.Since(s.Started).Round(time.Second))
				a.print("socket   %s", s.Socket)
				a.print("gossip   %s with %d members", s.Gossip, len(s.Members))
				for _, m := range s.Members {
					a.print("         %s %s", m.Node, m.Gossip)
				}
				a.printSections(s)
				return nil
			})
		},
	}
}

// printSections shows what runs because of the configuration.
func (a *App) printSections(s daemon.Status) {
	if s.Config != "" {
		a.print("config   %s, read %s ago", s.Config, time.Since(s.Reloaded).Round(time.Second))
	}
	for _, c := range s.Sections {
		text := c.Info
		if c.State == component.Failed {
			text = c.Error
		}
		a.print("%-8s %-8s %s  %s", c.Kind, c.State, c.Name, text)
	}
}

// withDaemon runs f with a client of the running servald.
func (a *App) withDaemon(f func(*control.Client) error) error {
	c := control.NewClient(a.socketPath())
	defer c.Close()
	return f(c)
}

// socketPath is the control socket that --socket or the environment names.
func (a *App) socketPath() string {
	if a.socket != "" {
		return a.socket
	}
	if path, ok := control.FindSocket(); ok {
		return path
	}
	return control.SocketPath()
}

// completeServices completes the argument at a position with the services that the
// running servald knows.
func (a *App) completeServices(position int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) != position {
			return nil, cobra.ShellCompDirectiveDefault
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		seen := make(map[string]bool)
		var names []cobra.Completion
		a.withDaemon(func(c *control.Client) error {
			all, err := c.Services(ctx)
			for _, in := range all {
				if name := in.Service.String(); !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
