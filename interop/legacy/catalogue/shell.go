//go:build linux

package catalogue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/legacy/stage"
)

const sshdConfig = `
ListenAddress %[1]s
HostKey %[2]s/host_key
AuthorizedKeysFile %[2]s/client_key.pub
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
MaxStartups 100
PidFile none
Subsystem sftp internal-sftp
SetEnv WHO=%[3]s
`

// startShell starts an SSH server; all instances have one key, as for a balancer.
func startShell(ctx context.Context, i *instance) error {
	for _, key := range []string{"host_key", "client_key"} {
		if _, err := os.Stat(i.seed.dir + "/" + key); err == nil {
			continue
		}
		if _, err := i.run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", i.seed.dir+"/"+key); err != nil {
			return err
		}
	}
	// Where it puts its unprivileged half; the distribution's own start makes it.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return err
	}
	file, err := i.write("sshd.conf", fmt.Sprintf(sshdConfig, i.at(), i.seed.dir, i.name))
	if err != nil {
		return err
	}
	return i.listening(ctx, "sshd", "-D", "-f", file, "-E", i.dir+"/log")
}

func shellHandled(_ context.Context, i *instance) (int, error) { return i.lines("log", "Accepted ") }

// sshOptions are those that ssh, scp, sftp and, within its own, rsync take.
func (c *call) sshOptions() []string {
	options := []string{"-F", "none", "-i", c.seed.dir + "/client_key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"}
	if c.way == stage.Socks {
		options = append(options, "-o", "ProxyCommand=nc -X 5 -x "+c.socks+" %h %p")
	}
	return options
}

func (c *call) ssh(ctx context.Context, command string) (string, error) {
	args := append([]string{"ssh"}, c.sshOptions()...)
	return c.run(ctx, append(args, "-p", c.port, "root@"+c.host, command)...)
}

// ticks is a command that prints numbers for so long.
func ticks(d time.Duration) (command, last string) {
	n := int(d / (100 * time.Millisecond))
	return fmt.Sprintf("for i in $(seq %d); do echo tick $i; sleep 0.1; done", n), fmt.Sprintf("tick %d", n)
}

// original is the file that copies are made of.
func (c *call) original() string { return filepath.Join(c.seed.dir, "www", "big") }

// slowKbits is a rate at which the file lasts so long.
func slowKbits(d time.Duration) int { return int(bigSize * 8 / 1000 / d.Seconds()) }

func shellPrograms() []*Program {
	copies := func(name, need string, quick bool, do func(c *call, limit int) []string) *Program {
		return &Program{
			Name: name, Needs: []string{need, "ssh", "nc"}, Ways: stage.Ways, Quick: quick, service: "svc:shell",
			works: func(ctx context.Context, c *call) error {
				if _, err := c.run(ctx, do(c, 0)...); err != nil {
					return err
				}
				return c.same("got", c.seed.big)
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				if _, err := c.run(ctx, do(c, slowKbits(d))...); err != nil {
					return err
				}
				return c.same("got", c.seed.big)
			},
		}
	}
	limited := func(limit int) []string {
		if limit == 0 {
			return nil
		}
		return []string{"-l", fmt.Sprint(limit)}
	}
	return []*Program{
		{
			Name: "ssh session", Needs: []string{"ssh", "nc"}, Ways: stage.Ways, Quick: true, service: "svc:shell",
			works: func(ctx context.Context, c *call) error {
				out, err := c.ssh(ctx, "echo this is $WHO")
				if err != nil {
					return err
				}
				return prints(out, "this is instance-")
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				command, last := ticks(d)
				out, err := c.ssh(ctx, command)
				if err != nil {
					return err
				}
				return prints(out, last)
			},
		},
		copies("scp", "scp", false, func(c *call, limit int) []string {
			args := append([]string{"scp", "-q", "-P", c.port}, append(limited(limit), c.sshOptions()...)...)
			return append(args, "root@"+c.host+":"+c.original(), c.file("got"))
		}),
		copies("sftp", "sftp", false, func(c *call, limit int) []string {
			args := append([]string{"sftp", "-q", "-P", c.port}, append(limited(limit), c.sshOptions()...)...)
			return append(args, "root@"+c.host+":"+c.original(), c.file("got"))
		}),
		copies("rsync over ssh", "rsync", false, func(c *call, limit int) []string {
			var shell strings.Builder
			for _, o := range append([]string{"ssh", "-p", c.port}, c.sshOptions()...) {
				shell.WriteString("'" + o + "' ")
			}
			args := []string{"rsync", "-W", "-e", shell.String()}
			if limit > 0 {
				args = append(args, "--bwlimit", fmt.Sprint(limit/8))
			}
			return append(args, "root@"+c.host+":"+c.original(), c.file("got"))
		}),
		{
			Name: "git clone (git://)", Needs: []string{"git"}, Ways: direct, Quick: true, service: "svc:git",
			works: func(ctx context.Context, c *call) error { return c.clone(ctx, "git://"+c.at()+"/repo.git") },
		},
		{
			Name: "git clone (ssh)", Needs: []string{"git", "ssh", "nc"}, Ways: stage.Ways, service: "svc:shell",
			works: func(ctx context.Context, c *call) error {
				if err := makeRepository(ctx, c.stage, c.seed); err != nil {
					return err
				}
				return c.clone(ctx, "ssh://root@"+c.at()+c.seed.dir+"/git/repo.git")
			},
		},
	}
}

// clone fetches the repository, of which the file must be what was committed.
func (c *call) clone(ctx context.Context, url string) error {
	shell := "ssh"
	for _, o := range c.sshOptions() {
		shell += " '" + o + "'"
	}
	if _, err := c.runWith(ctx, []string{"GIT_SSH_COMMAND=" + shell}, "git", "clone", "-q", url, c.file("clone")); err != nil {
		return err
	}
	return c.same("clone/big", c.seed.big)
}

// makeRepository makes the repository that is served, once.
func makeRepository(ctx context.Context, s *stage.Stage, sd *seed) error {
	base := filepath.Join(sd.dir, "git")
	if _, err := os.Stat(base); err == nil {
		return nil
	}
	script := `set -e; export HOME=$1
git init -q --bare "$1/repo.git"; git clone -q "$1/repo.git" "$1/tree" 2>/dev/null; cp "$2" "$1/tree/big"; cd "$1/tree"
git config user.email a@b; git config user.name a
git add big; git commit -qm one; git push -q origin HEAD:refs/heads/main; git -C "$1/repo.git" symbolic-ref HEAD refs/heads/main
git config --global --add safe.directory '*'`
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	_, err := stage.Run(ctx, s.Server, nil, "/bin/sh", "-c", script, "sh", base, filepath.Join(sd.dir, "www", "big"))
	return err
}

func startGit(ctx context.Context, i *instance) error {
	if err := makeRepository(ctx, i.stage, i.seed); err != nil {
		return err
	}
	return i.listening(ctx, "git-daemon", "--listen="+i.addr.String(), fmt.Sprintf("--port=%d", i.port),
		"--base-path="+i.seed.dir+"/git", "--export-all", "--reuseaddr", "--informative-errors")
}
