package expose

import "os/exec"

// asServer leaves it at killing the command when it is to end.
func asServer(*exec.Cmd) {}

// killGroup does nothing: only the command itself is known.
func killGroup(*exec.Cmd) {}
