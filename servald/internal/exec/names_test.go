//go:build linux

package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestNsswitch(t *testing.T) {
	for in, want := range map[string]string{
		"files dns": "files dns",
		"files":     "files dns",
		"":          "dns",
		"files mdns4_minimal [NOTFOUND=return] dns":                 "files mdns4_minimal [NOTFOUND=return] dns",
		"mymachines resolve [!UNAVAIL=return] files myhostname dns": "mymachines files dns myhostname",
		"files resolve [!UNAVAIL=return SUCCESS=continue] dns":      "files dns",
		"files[SUCCESS=return]resolve[!UNAVAIL=return]dns":          "files [SUCCESS=return] dns",
		"nis wins files # a remark":                                 "files dns",
	} {
		got := string(nsswitchConf([]byte("passwd: files\nhosts: " + in + "\nrpc: db\n")))
		if got != "passwd: files\nhosts: "+want+"\nrpc: db\n" {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if got := string(nsswitchConf([]byte("passwd: files\n"))); got != "passwd: files\nhosts: files dns\n" {
		t.Errorf("without hosts: %q", got)
	}
}

func FuzzNsswitch(f *testing.F) {
	f.Add([]byte("hosts: files mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns\n"))
	f.Add([]byte("hosts:\nhosts:[[ ]] resolve["))
	f.Add([]byte("# hosts: x\nhosts : files"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := nsswitchConf(b)
		for line := range lines(out) {
			if database, sources, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(database) == "hosts" {
				words := strings.Fields(sources)
				if !slices.Contains(words, "dns") || slices.Contains(words, "resolve") {
					t.Errorf("%q becomes %q", b, out)
				}
			}
		}
	})
}

func TestExplainUsers(t *testing.T) {
	for path, want := range map[string]string{
		"/proc/sys/user/max_user_namespaces=0":                       "sysctl user.max_user_namespaces=10000",
		"/proc/sys/kernel/unprivileged_userns_clone=0":               "sysctl kernel.unprivileged_userns_clone=1",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns=1":   "AppArmor profile",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns=0\n": "as some containers do",
		"": "as some containers do",
	} {
		name, value, _ := strings.Cut(path, "=")
		err := explainWith(fs.ErrPermission, func(path string) ([]byte, error) {
			if path == name {
				return []byte(value + "\n"), nil
			}
			return nil, fs.ErrNotExist
		})
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "servald socks") || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", path, fmt.Sprint(err))
		}
	}
}
