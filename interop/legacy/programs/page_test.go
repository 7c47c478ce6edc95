//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/legacy/catalogue"
	"github.com/serval-net/serval/interop/legacy/stage"
)

func TestMarkdown(t *testing.T) {
	all := []catalogue.Outcome{
		{Program: "curl", Way: stage.Forward, Works: true, Cut: true, Survived: true, Runs: 6, Union: 3, Most: 1},
		{Program: "curl", Way: stage.TUN, Works: true, Cut: true, Why: []string{"it\n was reset"}},
		{Program: "dig", Way: stage.Exec, Works: true},
		{Program: "tftp", Way: stage.Exec, Missing: []string{"tftp"}},
	}
	page := markdown(all, time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	for _, want := range []string{
		"| curl | survives | | | works, does not survive | | 3, 1 |",
		"| dig | | works | | | | |",
		"| tftp | | not installed | | | | |",
		"3 of 3 work, 1 of 2 survive. 21 November 2026",
		"- curl, TUN: it was reset",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if err := verdict(all); err == nil {
		t.Error("nothing failed")
	}
	if err := verdict(all[:1]); err != nil {
		t.Error(err)
	}
}
