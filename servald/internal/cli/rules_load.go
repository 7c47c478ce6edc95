package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

func (a *App) rulesLoadCommand(pid *int) *cobra.Command {
	return &cobra.Command{
		Use: "load (FILE|-)", Short: "Add the rules that list --json has printed",
		Long: `load adds rules from a file, or from standard input, as servald rules list --json prints
them: an object a line. It is for servald's start, since rules last no longer than it. If
a line is not a rule, none is added.

` + exitHelp,
		Example: `  servald rules list --json >rules.jsonl
  servald rules load rules.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := a.in
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			rules, err := readRules(in)
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", args[0], err)}
			}
			return a.loadRules(cmd.Context(), *pid, rules)
		},
	}
}

// readRules reads JSON objects, one after the other.
func readRules(in io.Reader) (rules []nodectl.Rule, err error) {
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	for {
		var r nodectl.Rule
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return rules, nil
		case err != nil:
			return nil, fmt.Errorf("what should be rule %d is not as servald rules list --json prints it: %w", len(rules)+1, err)
		}
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("rule %d: %w", len(rules)+1, err)
		}
		r.ID, r.Packets, r.Bytes = 0, 0, 0
		rules = append(rules, r)
	}
}

func (a *App) loadRules(ctx context.Context, pid int, rules []nodectl.Rule) error {
	ctx, cancel := context.WithTimeout(ctx, 3*askTimeout)
	defer cancel()
	c, err := a.ruler(ctx, pid)
	if err != nil {
		return err
	}
	for i, r := range rules {
		if _, err := c.AddRule(ctx, r); err != nil {
			return fmt.Errorf("%s added, but not rule %d: %w", count(i, "rule was", "rules were"), i+1, err)
		}
	}
	if a.json {
		return a.printJSON(struct {
			Added int `json:"added"`
		}{len(rules)})
	}
	a.print("added %s", count(len(rules), "rule", "rules"))
	return nil
}
