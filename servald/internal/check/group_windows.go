package check

import "os/exec"

func asGroup(*exec.Cmd) {}
