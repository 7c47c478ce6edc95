package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/daemon"
)

// configVariable names the configuration file.
const configVariable = "SERVAL_CONFIG"

// configFile is the name of the file where no other is said.
const configFile = "servald.toml"

func (a *App) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration of servald run, or show an example",
		Long:  `The configuration is a file in TOML; docs/configuration.md describes every key.`,
		Example: `  servald config example > servald.toml
  servald config check servald.toml && servald reload`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration, all of it",
		Long: `check reads FILE, - for standard input, or the file that servald run would read, and
says in which lines it is wrong and what can stand there. It changes nothing.`,
		Example: `  servald config check /etc/serval/servald.toml`,
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return []cobra.Completion{"toml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var c *config.Config
			var err error
			path := ""
			if len(args) == 1 {
				path = args[0]
			}
			if path == "-" {
				var text []byte
				if text, err = io.ReadAll(a.in); err == nil {
					c, err = config.Parse("standard input", text)
				}
			} else if path, c, err = a.loadConfig(path); err == nil && path == "" {
				err = errors.New("there is no configuration file; name one, or see servald config example")
			}
			if a.json {
				problems := []string{}
				if err != nil {
					problems = strings.Split(err.Error(), "\n")
				}
				return errors.Join(a.printJSON(struct {
					File     string   `json:"file"`
					Problems []string `json:"problems"`
				}{path, problems}), failed(err))
			}
			if err != nil {
				return err
			}
			a.print("%s is good: %s", path, summary(c))
			return nil
		},
	}, &cobra.Command{
		Use:   "example",
		Short: "Print a configuration with every key, as comments",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.out, config.Example)
			return err
		},
	})
	return cmd
}

// failed is an error for what has been told already.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("the configuration has errors")
}

// summary says in a line what a configuration asks for.
func summary(c *config.Config) string {
	var list []string
	for _, s := range []struct {
		what string
		n    int
	}{{"expose", len(c.Expose)}, {"forward", len(c.Forward)}, {"capture", len(c.Capture)}, {"name", len(c.Name)},
		{"dns", one(c.DNS)}, {"tun", one(c.TUN)}, {"socks5", one(c.SOCKS5)}, {"http_proxy", one(c.HTTPProxy)}} {
		if s.n > 0 {
			list = append(list, fmt.Sprintf("%d %s", s.n, s.what))
		}
	}
	if len(list) == 0 {
		return "it asks for nothing"
	}
	return strings.Join(list, ", ")
}

func one[T any](section *T) int {
	if section == nil {
		return 0
	}
	return 1
}

// configPath is the configuration file that a flag, the environment or the system
// names, and whether it has to be there.
func (a *App) configPath(flag string) (path string, must bool) {
	if flag != "" {
		return flag, true
	}
	if path := os.Getenv(configVariable); path != "" {
		return path, true
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/etc/serval", configFile), false
	}
	h, err := a.openHome()
	if err != nil {
		return "", false
	}
	return filepath.Join(h.Dir(), configFile), false
}

// loadConfig reads the configuration file. Where there is none it is that of an empty
// file, and path is "".
func (a *App) loadConfig(flag string) (path string, c *config.Config, err error) {
	path, must := a.configPath(flag)
	if path != "" {
		if c, err = config.Load(path); err == nil {
			return path, c, nil
		}
		if must || !errors.Is(err, fs.ErrNotExist) {
			return path, nil, usageError{err}
		}
	}
	c = new(config.Config)
	return "", c, c.Check()
}

// addSections gives a daemon what a configuration says beyond gossip.
func (a *App) addSections(cfg *daemon.Config, path string, c *config.Config) error {
	cfg.Sections, cfg.File, cfg.Output = c, path, a.errWriter()
	if path != "" {
		absolute, err := filepath.Abs(path) // what is read again is the same file
		if err != nil {
			return err
		}
		cfg.File = absolute
		cfg.Load = func() (*config.Config, error) { return config.Load(absolute) }
	}
	if len(c.Gossip.Join) > 0 && len(a.join) == 0 && os.Getenv("SERVAL_JOIN") == "" {
		cfg.Seeds = c.Gossip.Join
	}
	cfg.Policy = c.Node.Policy
	var err error
	if cfg.Listen, err = a.dataAddrs(); err != nil {
		return err
	}
	if len(cfg.Listen) == 0 {
		cfg.Listen = c.Node.Listen
	}
	h, err := a.openHome()
	if err != nil {
		return err
	}
	cfg.Addresses = filepath.Join(h.Dir(), "addresses")
	return nil
}

// dataAddrs is where --listen or the environment says that data should go.
func (a *App) dataAddrs() (list []netip.AddrPort, err error) {
	texts := a.listen
	if len(texts) == 0 {
		if text := os.Getenv("SERVAL_LISTEN"); text != "" {
			texts = strings.Split(text, ",")
		}
	}
	for _, text := range texts {
		addr, err := parseAddr(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		list = append(list, addr)
	}
	return list, nil
}

func (a *App) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the running servald read its configuration again",
		Long: `reload makes the running servald read its configuration again, as SIGHUP does, and
says what has changed. Only sections that are new, gone or different are touched, and
open connections go on. A file with errors changes nothing.

The exit code is 1 if the file has errors or something that it asks for does not run.`,
		Example: `  servald config check && servald reload`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDaemon(func(c *control.Client) error {
				var r daemon.Reloaded
				if err := c.Reload(cmd.Context(), &r); err != nil {
					return err
				}
				if a.json {
					if err := a.printJSON(r); err != nil {
						return err
					}
				} else {
					a.print("%d started, %d changed, %d stopped, %d as before", r.Started, r.Changed, r.Stopped, r.Kept)
					for _, section := range r.Later {
						a.note("what has changed in %s takes effect when servald is started again", section)
					}
				}
				if len(r.Failed) > 0 {
					return errors.New(strings.Join(r.Failed, "\n"))
				}
				return nil
			})
		},
	}
}
