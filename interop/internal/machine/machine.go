// Package machine describes the machine that measures.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Describe names the kernel and the processors, as far as Linux tells.
func Describe() string {
	field := func(file, key string) string {
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	cpu := field("/proc/cpuinfo", "model name")
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return fmt.Sprintf("Linux %s, %d x %s", strings.TrimSpace(string(kernel)), runtime.NumCPU(), cpu)
}
