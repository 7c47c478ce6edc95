package exec

import (
	"os"
	osexec "os/exec"
	"strings"
	"testing"
)

// within returns an execution that begins in a mount namespace in which root has run a
// script, without which the test is skipped.
func (r runner) within(t *testing.T, script string, args ...string) *osexec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to change what programs find")
	}
	for _, tool := range []string{"unshare", "setpriv"} {
		if _, err := osexec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	cmd := r.command(args...)
	if r.user {
		cmd.SysProcAttr.Credential = nil
		script += `; set -- setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`
	}
	cmd.Args = append([]string{"unshare", "-m", "sh", "-ec", script + `; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path, _ = osexec.LookPath("unshare")
	return cmd
}

// TestWithoutTUN: a device that does not work is done without.
func TestWithoutTUN(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		cmd := r.within(t, "mount --bind /dev/null /dev/net/tun", r.self, asProgram, "ask", "tcp", "service.test:80", "hello")
		if out, code := output(t, cmd); out != "port 80: hello\n" || code != 0 {
			t.Errorf("%q, code %d", out, code)
		}
	})
}

// TestForbidden: who may make no namespaces is told why and what to do.
func TestForbidden(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		if !r.user {
			t.Skip("root needs none")
		}
		cmd := r.within(t, ":", "true")
		cmd.Args = append([]string{"unshare", "-U", "-r", "sh", "-ec",
			`echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --bounding-set=-all "$@"`, "sh"}, r.self, asFront, "true")
		out, code := output(t, cmd)
		if code != CodeFailed || !strings.Contains(out, "user.max_user_namespaces is 0") || !strings.Contains(out, "as root") {
			t.Errorf("%q, code %d", out, code)
		}
	})
}

// TestNoResolvConf: a host without the file is told so.
func TestNoResolvConf(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		out, code := output(t, r.within(t, "mkdir /tmp/exec-etc-$$; mount -t tmpfs t /tmp/exec-etc-$$; cp -a /etc/passwd /etc/ld.so.cache /tmp/exec-etc-$$; mount --move /tmp/exec-etc-$$ /etc; rmdir /tmp/exec-etc-$$", "true"))
		if code != CodeFailed || !strings.Contains(out, "resolv.conf") {
			t.Errorf("%q, code %d", out, code)
		}
	})
}

// TestResolvConfIsALink: programs may read the link, or what it leads to.
func TestResolvConfIsALink(t *testing.T) {
	const script = `mount -t tmpfs t /mnt; echo 'nameserver 192.0.2.1' > /mnt/stub; echo 'search example' >> /mnt/stub
cp -a /etc /mnt/etc; mount --bind /mnt/etc /etc; ln -sf ../mnt/stub /etc/resolv.conf`
	eachUser(t, func(t *testing.T, r runner) {
		out, code := output(t, r.within(t, script, "sh", "-c", "cat /etc/resolv.conf /mnt/stub; readlink /etc/resolv.conf"))
		if want := "nameserver 198.18.0.1\nsearch example\n"; out != want+want+"../mnt/stub\n" || code != 0 {
			t.Errorf("%q, code %d", out, code)
		}
	})
}

// TestSSH: ssh accepts root's configuration, which in a user namespace seems to be
// nobody's.
func TestSSH(t *testing.T) {
	if _, err := osexec.LookPath("ssh"); err != nil {
		t.Skip(err)
	}
	const script = "mount -t tmpfs t /etc/ssh/ssh_config.d; echo 'Port 4711' > /etc/ssh/ssh_config.d/test.conf"
	eachUser(t, func(t *testing.T, r runner) {
		out, code := output(t, r.within(t, script, "ssh", "-G", "host"))
		if code != 0 || !strings.Contains(out, "\nport 4711\n") {
			t.Errorf("%q, code %d", out, code)
		}
	})
}

// TestContainer: root in a container has not all that root has, and needs a user
// namespace; in it the program has what it had.
func TestContainer(t *testing.T) {
	eachUser(t, func(t *testing.T, r runner) {
		if r.user {
			t.Skip("this is about root")
		}
		cmd := r.within(t, "set -- setpriv --inh-caps=-all --bounding-set=-sys_admin,-net_admin \"$@\"", "sh", "-c",
			`grep CapEff /proc/self/status; "$0" `+asProgram+` ask tcp service.test:80 hello`, r.self)
		out, code := output(t, cmd)
		if !strings.Contains(out, "fffedfefff\nport 80: hello\n") || code != 0 {
			t.Errorf("%q, code %d", out, code)
		}
	})
}
