package exec

import (
	"fmt"
	"os"
	"strings"
)

// refusals are the settings by which systems keep users from making namespaces.
var refusals = []struct{ path, value, name, cure string }{
	{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=10000"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0", "sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts them", "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for servald with the rule userns"},
	{"/proc/sys/user/max_net_namespaces", "0", "user.max_net_namespaces is 0", "sysctl user.max_net_namespaces=10000"},
}

// explainUsers says why this user can make no namespaces and what to do.
func explainUsers(err error) error {
	return explainWith(err, os.ReadFile)
}

func explainWith(err error, read func(string) ([]byte, error)) error {
	why, cure := "as some containers do", "allow them there"
	for _, r := range refusals {
		if b, rerr := read(r.path); rerr == nil && strings.TrimSpace(string(b)) == r.value {
			why, cure = r.name, r.cure
			break
		}
	}
	return fmt.Errorf("this system does not let this user make namespaces (%w; %s): run servald exec as root, or let root allow it (%s), or use `servald socks5` or `servald forward`, which need no privileges", err, why, cure)
}
