// Package lab builds small real networks out of Linux network namespaces, for
// tests and benchmarks: hosts joined by virtual cables, routers, rate limits,
// delay and loss. It needs Linux and root.
//
// Namespaces are unnamed and virtual cables live in them, so the kernel removes
// everything when the process ends, however it ends; Close only does it sooner.
package lab

import "errors"

// ErrUnavailable is what New's error wraps when this machine cannot run a lab;
// the error says what is missing. Tests skip on it.
var ErrUnavailable = errors.New("network lab unavailable")
