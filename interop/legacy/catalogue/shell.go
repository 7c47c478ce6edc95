//go:build linux

package catalogue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// ssh is the command that runs one at the server.
func (c *call) ssh(command string) []string {
	args := append([]string{"ssh"}, c.sshOptions()...)
	return append(args, "-p", c.port, "root@"+c.host, command)
}

// shell is what programs run that start ssh themselves.
func (c *call) shell(more ...string) string {
	s := "ssh"
	for _, o := range append(c.sshOptions(), more...) {
		s += " '" + o + "'"
	}
	return s
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
	copies := func(name, need string, command func(c *call, limit int) []string) *Program {
		run := func(ctx context.Context, c *call, limit int) error {
			args := append(command(c, limit), "root@"+c.host+":"+c.original(), c.file("got"))
			if _, err := c.run(ctx, args...); err != nil {
				return err
			}
			return c.same("got", c.seed.big)
		}
		return &Program{
			Name: name, Needs: []string{need, "ssh", "nc"}, Ways: stage.Ways, service: "svc:shell",
			works: func(ctx context.Context, c *call) error { return run(ctx, c, 0) },
			lasts: func(ctx context.Context, c *call, d time.Duration) error { return run(ctx, c, slowKbits(d)) },
		}
	}
	ofSSH := func(name string) *Program {
		return copies(name, name, func(c *call, limit int) []string {
			args := []string{name, "-q", "-P", c.port}
			if limit > 0 {
				args = append(args, "-l", fmt.Sprint(limit))
			}
			return append(args, c.sshOptions()...)
		})
	}
	return []*Program{
		{
			Name: "ssh session", Needs: []string{"ssh", "nc"}, Ways: stage.Ways, Quick: true, service: "svc:shell",
			works: func(ctx context.Context, c *call) error {
				return c.expect(ctx, []string{"this is instance-"}, c.ssh("echo this is $WHO")...)
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				command, last := ticks(d)
				return c.expect(ctx, []string{last}, c.ssh(command)...)
			},
		},
		ofSSH("scp"),
		ofSSH("sftp"),
		copies("rsync over ssh", "rsync", func(c *call, limit int) []string {
			args := []string{"rsync", "-W", "-e", c.shell("-p", c.port)}
			if limit > 0 {
				args = append(args, "--bwlimit", fmt.Sprint(limit/8))
			}
			return args
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
	if _, err := c.runWith(ctx, []string{"GIT_SSH_COMMAND=" + c.shell()}, "git", "clone", "-q", url, c.file("clone")); err != nil {
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
