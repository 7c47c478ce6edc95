package serval

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestMain fails the package if nodes leave goroutines behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	closeDefault()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // fuzzing has goroutines of its own
	}
	if code == 0 && !within(10*time.Second, func() bool { return runtime.NumGoroutine() <= before }) {
		buf := make([]byte, 1<<20)
		fmt.Printf("goroutines left behind: %d, were %d\n%s\n", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// closeDefault closes the node of the package's functions if there is one.
func closeDefault() {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if defaultNode != nil {
		defaultNode.Close()
		defaultNode = nil
	}
}

// within waits for a condition, and reports whether it came true in time.
func within(limit time.Duration, cond func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !cond(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// eventually fails the test unless a condition comes true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !within(20*time.Second, cond) {
		t.Fatalf("it never came true that %s", what)
	}
}
