package cli

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/servald/internal/daemon"
	"github.com/serval-net/serval/servald/internal/home"
)

func (a *App) initCommand() *cobra.Command {
	var grant identity.Grant
	var name string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new cluster, with this host as its first node",
		Long: `init makes the cluster's root key and this host's own key in the home directory, and
prints a join token for the other hosts. It never overwrites a key.

The token is a secret: whoever has it can enter the cluster. It tells them to find
others at this host, where servald run gossips by default. Tokens for fewer services or
a shorter time are made with the token command.`,
		Example: `  servald init
  servald init --seed first.example.com:7946`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.openHome()
			if err != nil {
				return err
			}
			if len(grant.Seeds) == 0 {
				grant.Seeds = []string{daemon.DefaultSeed()}
			}
			now := time.Now()
			root := identity.NewRoot()
			token, err := root.Grant(grant, now)
			if err != nil {
				return err
			}
			id, err := token.Join(identity.Member{Name: name}, now)
			if err != nil {
				return err
			}
			if err := h.Init(root, id, token); err != nil {
				return err
			}
			a.note("cluster %s, node %s, keys in %s", root.Cluster().ID().Short(), id.Node().Short(), h.Dir())
			a.note("Others find the cluster at %s. On each: servald join TOKEN, with this token:", strings.Join(grant.Seeds, ", "))
			return a.printToken(token)
		},
	}
	nameFlag(cmd, &name)
	grantFlags(cmd, &grant)
	return cmd
}

func (a *App) tokenCommand() *cobra.Command {
	var grant identity.Grant
	var serve, dial []string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print another join token of the cluster that was made here",
		Long: `token makes a join token, where the cluster's root key is. Nodes that join with it may
serve and dial only the services that it names, until it expires. Patterns are names,
"shop/*" for shop and all below it, and "*" for all.`,
		Example: `  servald token --serve 'shop/*' --dial '*' --lifetime 720h`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.openHome()
			if err != nil {
				return err
			}
			root, err := h.Root()
			if err != nil {
				return err
			}
			if first, err := h.Token(); err == nil && len(grant.Seeds) == 0 {
				grant.Seeds = first.Seeds()
			}
			// A flag that was not given leaves everything, an empty one nothing.
			if cmd.Flags().Changed("serve") {
				grant.Serve = append([]string{}, serve...)
			}
			if cmd.Flags().Changed("dial") {
				grant.Dial = append([]string{}, dial...)
			}
			token, err := root.Grant(grant, time.Now())
			if err != nil {
				return err
			}
			return a.printToken(token)
		},
	}
	cmd.Flags().StringSliceVar(&serve, "serve", []string{"*"}, "services that may be served, repeatable; empty for none")
	cmd.Flags().StringSliceVar(&dial, "dial", []string{"*"}, "services that may be dialled, repeatable; empty for none")
	grantFlags(cmd, &grant)
	return cmd
}

func (a *App) printToken(t *identity.Token) error {
	if a.json {
		return a.printJSON(map[string]any{"token": t.String(), "cluster": t.Cluster().ID().String(),
			"expires": t.Expires(), "seeds": t.Seeds()})
	}
	a.print("%s", t)
	return nil
}

// openHome is the home directory that --home or the environment names.
func (a *App) openHome() (home.Home, error) {
	dir := a.home
	if dir == "" {
		var err error
		if dir, err = home.Default(); err != nil {
			return home.Home{}, err
		}
	}
	return home.At(dir), nil
}

func nameFlag(cmd *cobra.Command, name *string) {
	host, _ := os.Hostname()
	cmd.Flags().StringVar(name, "name", host[:min(len(host), 32)], "label of this node, for people")
}

func grantFlags(cmd *cobra.Command, g *identity.Grant) {
	cmd.Flags().DurationVar(&g.Lifetime, "lifetime", 365*24*time.Hour, "how long the token, and all that join with it, are valid")
	cmd.Flags().StringSliceVar(&g.Seeds, "seed", nil, "where new nodes find others, `host:port` of gossip, repeatable (default: port "+daemon.GossipPort+" of this host's main address, or what this host's token says)")
}
