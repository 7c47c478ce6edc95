package resolver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

const staticText = `# two services
web         127.0.0.1:7001,[::1]:7001  priority=2  weight=5
svc:web     127.0.0.1:7002             # the backup

shop/*      192.0.2.3:7001  node=`

func TestStatic(t *testing.T) {
	node := identity.NodeID{1, 2, 3}
	path := filepath.Join(t.TempDir(), "services")
	if err := os.WriteFile(path, []byte(staticText+node.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{path, strings.ReplaceAll("web 127.0.0.1:7001,[::1]:7001 priority=2 weight=5; web 127.0.0.1:7002;shop/* 192.0.2.3:7001 node=", "; ", ";") + node.String()} {
		t.Setenv("SERVAL_SERVICES", env)
		s, err := FromEnv()
		if err != nil {
			t.Fatal(err)
		}
		found, err := s.Resolve(ctx, web)
		if err != nil || len(found) != 2 || found[0].Weight != 5 || found[0].Addrs[1].String() != "[::1]:7001" || found[1].Addrs[0].Port() != 7002 {
			t.Errorf("web is at %v, %v", found, err)
		}
		s.Report(found[0], false)
		if again, _ := s.Resolve(ctx, web); again[0].Priority != 0 {
			t.Error("a dead instance comes first")
		}
		found, err = s.Resolve(ctx, sal.MustParseName("shop/cart/eu"))
		if err != nil || len(found) != 1 || found[0].Node != node {
			t.Errorf("shop/cart/eu is at %v, %v", found, err)
		}
		if _, err := s.Resolve(ctx, sal.MustParseName("other")); !errors.Is(err, ErrNoService) {
			t.Errorf("other is at %v", err)
		}
		if all, err := s.Services(ctx); len(all) != 3 || err != nil {
			t.Errorf("all services are %v, %v", all, err)
		}
	}
}

func TestStaticChoice(t *testing.T) {
	s, err := ParseStatic("list", strings.NewReader("cache 127.0.0.1:1 balance=nearest keys=0/2,c/2"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Resolve(ctx, sal.MustParseName("cache"))
	if err != nil || len(found) != 1 || found[0].Balance != BalanceNearest || len(found[0].Keys) != 2 || found[0].Keys[1].String() != "c/2" {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestStaticErrors(t *testing.T) {
	for text, want := range map[string]string{
		"we b":                              "list:1:",
		"\n\nweb":                           "list:3: svc:web has no addresses",
		"web 127.0.0.1":                     `"127.0.0.1" is not an address and port`,
		"web 127.0.0.1:0":                   "nobody can be reached",
		"web 127.0.0.1:1 balance=best":      "write weighted, least-load, nearest or hash",
		"web 127.0.0.1:1 keys=1/2":          "bits set beyond its length",
		"web/* 127.0.0.1:1 keys=8/1":        "leave keys= out",
		"web 127.0.0.1:1,":                  `"" is not`,
		"web 127.0.0.1:1 colour=red":        `"colour=red" is unknown`,
		"web 127.0.0.1:1 weight=-1":         "from 0 to 65535",
		"web 127.0.0.1:1 node=x":            "node ID",
		"not..a..name 127.0.0.1:1":          "not..a..name",
		"web " + strings.Repeat("x", 1<<17): "list:1:",
	} {
		if _, err := ParseStatic("list", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want %q", text, err, want)
		}
	}
	t.Setenv("SERVAL_SERVICES", filepath.Join(t.TempDir(), "none"))
	if _, err := FromEnv(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	t.Setenv("SERVAL_SERVICES", "")
	if s, err := FromEnv(); s != nil || err != nil {
		t.Errorf("no variable: %v, %v", s, err)
	}
}

func FuzzParseStatic(f *testing.F) {
	f.Add(staticText + "aebagbafaydqqcikbmga2dqpca")
	f.Add("web [fe80::1%eth0]:1 priority=-3")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStatic("fuzz", strings.NewReader(text))
		if err != nil {
			return
		}
		all, _ := s.Services(ctx)
		for _, in := range all {
			if in.Service.IsZero() || len(in.Addrs) == 0 || !in.Addrs[0].IsValid() {
				t.Errorf("%q gives %+v", text, in)
			}
		}
	})
}
