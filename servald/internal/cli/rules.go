package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/hook"
	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/daemon"
	"github.com/serval-net/serval/servald/internal/units"
)

func (a *App) rulesCommand() *cobra.Command {
	var pid int
	cmd := &cobra.Command{
		Use:   "rules (list|add|del|load)",
		Short: "Say what becomes of dials for some services: forward, delay or drop them",
		Long: `rules are what the running servald does about dials of this host's programs, and about
first packets that reach it, for a service or a subtree of them:

  --forward ADDR   send them to this instance or service router
  --delay          hold them while a command or an HTTP callback finds or starts an
                   instance, if nobody serves the name
  --drop           refuse them

The longest name wins; under one name the largest priority, and among equals the weight
decides at random. A rule comes before what gossip knows under the same name, and after
what it knows under a longer one. Rules last until servald ends, or for --ttl.

` + exitHelp,
		Example: `  servald rules add svc:web --forward 192.0.2.1:4000
  servald rules add 'svc:shop/*' --drop --ttl 10m
  servald rules add svc:batch --delay -- systemctl start batch
  servald rules list
  servald rules del svc:web`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usageError{errors.New("say what to do: list, add, del or load")}
		},
	}
	cmd.PersistentFlags().IntVar(&pid, "pid", 0, "process whose rules are meant (default the running servald)")
	cmd.AddCommand(a.rulesListCommand(&pid), a.rulesAddCommand(&pid), a.rulesDelCommand(&pid), a.rulesLoadCommand(&pid))
	return cmd
}

func (a *App) rulesListCommand(pid *int) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the rules and how often they were used",
		Example: "  servald rules list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			c, err := a.ruler(ctx, *pid)
			if err != nil {
				return err
			}
			rules, err := c.Rules(ctx)
			if err != nil {
				return err
			}
			return a.listRules(rules)
		},
	}
}

func (a *App) listRules(rules []nodectl.Rule) error {
	t := newTable(">ID", "SERVICE", "ACTION", "TO", ">PRIORITY", ">WEIGHT", ">USED", "ENDS IN")
	for _, r := range rules {
		if a.json {
			if err := a.printJSON(r); err != nil {
				return err
			}
			continue
		}
		t.row(fmt.Sprint(r.ID), withKeys(r.Service, r.Keys), r.Action, ruleTarget(r), fmt.Sprint(r.Priority), fmt.Sprint(r.Weight),
			fmt.Sprint(r.Packets), endsIn(r.TTL))
	}
	a.printTable(t, "no rules")
	return nil
}

// withKeys is a service with the parts of its key space that are meant.
func withKeys(service string, keys []sal.KeyPrefix) string {
	if len(keys) == 0 {
		return service
	}
	return service + " keys " + joined(keys, ",")
}

// ruleTarget says where a rule leads.
func ruleTarget(r nodectl.Rule) string {
	if r.Hook != nil {
		return r.Hook.String()
	}
	return joined(r.Next, " ")
}

func endsIn(ttl nodectl.Duration) string {
	if ttl == 0 {
		return ""
	}
	return units.Duration(time.Duration(ttl))
}

func (a *App) rulesAddCommand(pid *int) *cobra.Command {
	var r nodectl.Rule
	var forward, keys []string
	var callback string
	var delay, drop bool
	var ttl, timeout time.Duration
	cmd := &cobra.Command{
		Use:   "add NAME (--forward ADDR:PORT | --delay (--callback URL | -- COMMAND [ARG]...) | --drop)",
		Short: "Add a rule",
		Long: `add adds a rule for a service, svc:web, those below a name, 'svc:shop/*', or all, '*',
and prints its ID.

A hook of --delay runs when a name is dialled that nobody serves, once at a time for
each service, while dials wait. A command finds the service in SERVAL_SERVICE and its ID in
SERVAL_SERVICE_ID, and must exit with 0; what it leaves running should not hold its
output open. A callback gets {"service": ..., "service_id": ...} by POST. Either may say
where an instance is, else one has to register in time: a command by printing
"forward 192.0.2.7:4000" and perhaps "ttl 30s", a callback by answering
{"forward": ["192.0.2.7:4000"], "ttl_s": 30}.

` + exitHelp,
		Example: `  servald rules add svc:web --forward 192.0.2.1:4000 --weight 3
  servald rules add '*' --forward 198.51.100.1:7001 --priority -1
  servald rules add svc:batch --delay --timeout 1m -- systemctl start batch
  servald rules add 'svc:fn/*' --delay --callback http://localhost:8080/start`,
		Args: func(cmd *cobra.Command, args []string) error {
			command := cmd.ArgsLenAtDash() == 1 && len(args) > 1
			if len(args) == 0 || cmd.ArgsLenAtDash() == 0 || !command && len(args) > 1 {
				return errors.New("add takes one NAME, and after --delay perhaps -- COMMAND")
			}
			if n := bools(len(forward) > 0, delay, drop); n != 1 {
				return errors.New("say what the rule does: one of --forward, --delay and --drop")
			}
			if !delay && (command || callback != "" || timeout != 0) {
				return errors.New("only --delay has a command, --callback and --timeout")
			}
			if delay && command == (callback != "") {
				return errors.New("say what --delay runs: either --callback URL or -- COMMAND")
			}
			return nil
		},
		ValidArgsFunction: a.completeServices(0),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.Service, r.Action, r.TTL, r.Timeout = args[0], nodectl.Drop, nodectl.Duration(ttl), nodectl.Duration(timeout)
			if r.Next, err = parseAll(forward, netip.ParseAddrPort); err != nil {
				return usageError{fmt.Errorf("--forward: %w", err)}
			}
			if r.Keys, err = parseAll(keys, sal.ParseKeyPrefix); err != nil {
				return usageError{fmt.Errorf("--keys: %w", err)}
			}
			if len(forward) > 0 {
				r.Action = nodectl.Forward
			}
			if delay {
				r.Action, r.Hook = nodectl.Delay, &hook.Hook{Command: args[1:], URL: callback}
			}
			if err := r.Check(); err != nil {
				return usageError{err}
			}
			return a.addRule(cmd.Context(), *pid, r)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&forward, "forward", nil, "`address:port` of an instance or a service router; several are addresses of the same")
	f.BoolVar(&delay, "delay", false, "hold dials while a hook finds or starts an instance")
	f.BoolVar(&drop, "drop", false, "refuse dials")
	f.StringVar(&callback, "callback", "", "`URL` that --delay posts to")
	f.DurationVarP(&timeout, "timeout", "t", 0, "how long the hook of --delay may take, until an instance is there (default 30s)")
	f.StringSliceVar(&keys, "keys", nil, "only this part of the service's key space, such as 4/2, repeatable")
	f.IntVar(&r.Priority, "priority", 0, "larger ones come first")
	f.IntVar(&r.Weight, "weight", 1, "share among rules of the same name and priority")
	f.DurationVar(&ttl, "ttl", 0, "remove the rule after this time (default never)")
	return cmd
}

// bools counts those that are true.
func bools(list ...bool) (n int) {
	for _, b := range list {
		if b {
			n++
		}
	}
	return n
}

func parseAll[T any](texts []string, parse func(string) (T, error)) (list []T, err error) {
	for _, s := range texts {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (a *App) addRule(ctx context.Context, pid int, r nodectl.Rule) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := a.ruler(ctx, pid)
	if err != nil {
		return err
	}
	id, err := c.AddRule(ctx, r)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			ID uint64 `json:"id"`
		}{id})
	}
	a.print("%d", id)
	return nil
}

func (a *App) rulesDelCommand(pid *int) *cobra.Command {
	return &cobra.Command{
		Use: "del (ID|NAME)...", Aliases: []string{"rm", "delete"}, Short: "Remove rules: one by its ID, or all for exactly a name",
		Example: "  servald rules del 3 'svc:shop/*'",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: a.completeRules(pid),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			var which []nodectl.RuleSelection
			for _, arg := range args {
				s := nodectl.RuleSelection{Service: arg}
				if id, err := strconv.ParseUint(arg, 10, 64); err == nil {
					s = nodectl.RuleSelection{ID: id}
				}
				if err := s.Check(); err != nil {
					return usageError{err}
				}
				which = append(which, s)
			}
			c, err := a.ruler(ctx, *pid)
			if err != nil {
				return err
			}
			return a.delRules(ctx, c, which)
		},
	}
}

func (a *App) delRules(ctx context.Context, c *nodectl.Client, which []nodectl.RuleSelection) error {
	removed := 0
	var errs []error
	for _, s := range which {
		n, err := c.RemoveRules(ctx, s)
		if err == nil && n == 0 {
			err = fmt.Errorf("there is no rule for exactly %s; servald rules list shows what there is", s.Service)
		}
		removed, errs = removed+n, append(errs, err)
	}
	if a.json {
		a.printJSON(struct {
			Removed int `json:"removed"`
		}{removed})
	} else if removed > 0 {
		a.print("removed %s", count(removed, "rule", "rules"))
	}
	return errors.Join(errs...)
}

// ruler returns the process whose rules hold: the running servald, or that of a
// process ID.
func (a *App) ruler(ctx context.Context, pid int) (*nodectl.Client, error) {
	var self string // of servald
	if pid == 0 {
		err := a.withDaemon(func(c *control.Client) error {
			var s daemon.Status
			err := c.Status(ctx, &s)
			self = s.Node
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	all, err := a.nodes(ctx)
	for _, c := range all {
		if pid == 0 && c.Node == self || pid != 0 && c.PID == pid {
			return c, nil
		}
	}
	if pid == 0 {
		return nil, errors.Join(errors.New("the running servald has no rules: it has no control socket among those of processes, restart it"), err)
	}
	return nil, errors.Join(fmt.Errorf("process %d is not one of this user's that use Serval", pid), err)
}

// completeRules completes IDs and names of rules.
func (a *App) completeRules(pid *int) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c, err := a.ruler(ctx, *pid)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var list []cobra.Completion
		rules, _ := c.Rules(ctx)
		seen := make(map[string]bool)
		for _, r := range rules {
			name := nodectl.Clean(r.Service)
			list = append(list, cobra.CompletionWithDesc(fmt.Sprint(r.ID), nodectl.Clean(name+" "+r.Action+" "+ruleTarget(r))))
			if !seen[name] {
				seen[name] = true
				list = append(list, name)
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}
