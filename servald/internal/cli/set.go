package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/sal"
)

// setResult is what set prints with --json.
type setResult struct {
	Changed int `json:"changed"` // instances
}

func (a *App) setCommand() *cobra.Command {
	var weight, priority int
	var balance string
	var keys []string
	cmd := &cobra.Command{
		Use:   "set NAME[#NODE]",
		Short: "Change weight, priority and the like of live instances on this host",
		Long: `set changes what others are told of the instances of a service that processes of this
host are, or of the one whose name servald services --here prints. Diallers heed it as soon
as gossip has told them; connections stay where they are.

` + exitHelp,
		Example: `  servald set svc:web --weight 3
  servald set svc:web#k5x2mqpa --priority -1
  servald set svc:cache --keys 0/1,8/2`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: first(a.completeHere),
		RunE: func(cmd *cobra.Command, args []string) error {
			which, err := parseHere(args[0])
			if err != nil {
				return err
			}
			f, s := cmd.Flags(), nodectl.Setting{Service: which.service.String()}
			if f.Changed("weight") {
				s.Weight = &weight
			}
			if f.Changed("priority") {
				s.Priority = &priority
			}
			if f.Changed("balance") {
				s.Balance = &balance
			}
			if f.Changed("keys") {
				list, err := parseAll(keys, sal.ParseKeyPrefix)
				if err != nil {
					return usageError{fmt.Errorf("--keys: %w", err)}
				}
				s.Keys = &list
			}
			if err := s.Check(); err != nil {
				return usageError{err}
			}
			return a.set(cmd.Context(), which, s)
		},
	}
	f := cmd.Flags()
	f.IntVar(&weight, "weight", 1, "share among instances of the same priority, 1 to 65535")
	f.IntVar(&priority, "priority", 0, "larger ones are dialled first")
	f.StringVar(&balance, "balance", "", "how to choose: weighted, least-load, nearest or hash")
	f.StringSliceVar(&keys, "keys", nil, "parts of the key space that the instance owns, such as 4/2")
	cmd.RegisterFlagCompletionFunc("balance", completeBalance)
	return cmd
}

func (a *App) set(ctx context.Context, which hereSelection, s nodectl.Setting) error {
	ctx, cancel := context.WithTimeout(ctx, 3*askTimeout) // others are told
	defer cancel()
	all, err := a.processesOf(ctx, which)
	if err != nil {
		return err
	}
	changed, err := addUp(all, func(c *nodectl.Client) (int, error) { return c.SetListeners(ctx, s) })
	switch {
	case err != nil && changed == 0:
	case a.json:
		a.printJSON(setResult{changed})
	default:
		a.print("changed %s", count(changed, "instance", "instances"))
	}
	return err
}

// hereSelection is instances on this host: of a service, or all those of a node.
type hereSelection struct {
	service sal.Name // zero means all
	node    string   // beginning of its ID; empty means any
}

// parseHere reads "svc:web", "svc:web#k5x2mqpa" or "#k5x2mqpa".
func parseHere(text string) (s hereSelection, err error) {
	name, node, one := strings.Cut(text, "#")
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') }
	if one && (len(node) < 4 || strings.ContainsFunc(node, bad)) {
		return s, usageError{fmt.Errorf("%q is not an instance: behind # comes a node's ID, or its first 4 characters at least", text)}
	}
	s.node = node
	if name == "" && one {
		return s, nil
	}
	if s.service, err = sal.ParseName(name); err != nil {
		return s, usageError{err}
	}
	return s, nil
}

// String is the inverse of parseHere.
func (s hereSelection) String() string {
	if s.node == "" {
		return s.service.String()
	}
	return s.service.String() + "#" + s.node
}

// processesOf returns the processes with instances that are meant, of which there
// must be one.
func (a *App) processesOf(ctx context.Context, which hereSelection) (with []*nodectl.Client, err error) {
	list, err := a.instancesHere(ctx, which.service)
	if err != nil {
		return nil, err
	}
	seen := make(map[*nodectl.Client]bool)
	for _, s := range list {
		if strings.HasPrefix(s.Node, which.node) && !seen[s.client] {
			seen[s.client] = true
			with = append(with, s.client)
		}
	}
	if len(with) == 0 {
		what := cmp.Or(which.service.String(), "anything")
		if which.node != "" {
			what += " as node " + which.node
		}
		return nil, errors.New("no process of this host serves " + what + "; servald services --here lists what they do")
	}
	return with, nil
}

// completeHere completes services and instances of this host's processes.
func (a *App) completeHere(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout/2)
	defer cancel()
	var names []cobra.Completion
	seen := make(map[string]bool)
	list, _ := a.instancesHere(ctx, sal.Name{})
	for _, s := range list {
		for _, name := range []string{s.Service, s.name()} {
			if name = nodectl.Clean(name); !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
