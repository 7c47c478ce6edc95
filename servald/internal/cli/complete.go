package cli

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

// first completes the first argument and no other.
func first(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, word)
	}
}

// completeBalance completes the ways to choose among instances.
var completeBalance = cobra.FixedCompletions([]cobra.Completion{"weighted", "least-load", "nearest", "hash"}, cobra.ShellCompDirectiveNoFileComp)

// liveConnections is for completions: it says nothing and does not wait long.
func (a *App) liveConnections() []connection {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	looking, stop := context.WithTimeout(ctx, time.Second/2) // a process that hangs takes all of it
	defer stop()
	all, _ := a.nodes(looking)
	list, _ := a.connections(ctx, all)
	return list
}

// completeConns completes IDs of connections.
func (a *App) completeConns(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var ids []cobra.Completion
	for _, c := range a.liveConnections() {
		ids = append(ids, cobra.CompletionWithDesc(c.ID, nodectl.Clean(c.Service+" "+process(c.client.Info))))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeFlows completes ID/INDEX.
func (a *App) completeFlows(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var ids []cobra.Completion
	for _, c := range a.liveConnections() {
		for _, f := range c.Flows {
			what := fmt.Sprintf("%s %s %s", c.Service, f.Interface, f.State)
			ids = append(ids, cobra.CompletionWithDesc(fmt.Sprintf("%s/%d", c.ID, f.Index), nodectl.Clean(what)))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeUsedServices completes names of services that connections of this host use.
func (a *App) completeUsedServices(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	seen := make(map[string]bool)
	for _, c := range a.liveConnections() {
		if name := nodectl.Clean(c.Service); name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeInterfaces completes names of this host's interfaces, with their addresses.
func completeInterfaces(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	list, _ := net.Interfaces()
	for _, i := range list {
		var addrs []string
		nets, _ := i.Addrs()
		for _, n := range nets {
			addrs = append(addrs, n.String())
		}
		names = append(names, cobra.CompletionWithDesc(i.Name, strings.Join(addrs, " ")))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completePolicy completes the first argument with complete, the second with policies.
func completePolicy(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) != 1 {
			return first(complete)(cmd, args, word)
		}
		var list []cobra.Completion
		for _, p := range nodectl.Policies {
			if p != "pinned" {
				list = append(list, p)
				continue
			}
			interfaces, _ := net.Interfaces()
			for _, i := range interfaces {
				list = append(list, p+":"+i.Name)
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}
