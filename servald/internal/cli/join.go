package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/servald/internal/home"
)

func (a *App) joinCommand() *cobra.Command {
	var member identity.Member
	var renew bool
	cmd := &cobra.Command{
		Use:   "join TOKEN",
		Short: "Make this host a node of the cluster that a token is for",
		Long: `join makes a key for this host and stores it, with the membership that the token
grants, in the home directory. Nobody is asked: the token is enough. It is stored as
well, for each program of this host is a node of its own that it admits. "-" reads the
token from standard input, which keeps it out of the list of processes.

A host that is a member already keeps its key: --renew extends its membership.`,
		Example: `  servald join serval1AAECAwQ...
  ssh first servald token | servald join -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.openHome()
			if err != nil {
				return err
			}
			token, err := a.readToken(args[0])
			if err != nil {
				return err
			}
			id, err := admit(h, token, member, renew)
			if err != nil {
				return err
			}
			if err := h.Join(id, token, renew); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"node": id.Node().String(), "cluster": id.Cluster().ID().String(),
					"expires": id.Expires(), "home": h.Dir()})
			}
			a.print("node %s of cluster %s until %s, key in %s", id.Node().Short(), id.Cluster().ID().Short(),
				id.Expires().Format(time.DateOnly), h.Dir())
			return nil
		},
	}
	nameFlag(cmd, &member.Name)
	cmd.Flags().BoolVar(&renew, "renew", false, "extend the membership of the node that is here")
	return cmd
}

// admit makes a node, or renews the one that is here.
func admit(h home.Home, token *identity.Token, member identity.Member, renew bool) (*identity.Identity, error) {
	if !renew {
		return token.Join(member, time.Now())
	}
	old, err := h.Identity()
	if err != nil {
		return nil, err
	}
	return old.Renew(token, time.Now())
}

func (a *App) readToken(text string) (*identity.Token, error) {
	if text == "-" {
		const longest = 16 << 10
		b, err := io.ReadAll(io.LimitReader(a.in, longest))
		if err != nil {
			return nil, fmt.Errorf("reading the token from standard input: %w", err)
		}
		text = string(b)
	}
	if strings.TrimSpace(text) == "" {
		return nil, usageError{fmt.Errorf("the token is empty: give the text that `servald init` or `servald token` printed")}
	}
	return identity.ParseToken(text)
}
