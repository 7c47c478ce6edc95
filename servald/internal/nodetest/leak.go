package nodetest

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Main runs the tests of a package and returns the exit code: a failure if goroutines
// are left behind.
func Main(m *testing.M) int {
	before := runtime.NumGoroutine()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); code != 0 || f != nil && f.Value.String() != "" {
		return code // fuzzing has goroutines of its own
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			fmt.Printf("goroutines left behind: %d, were %d\n%s\n", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
			return 1
		}
	}
	return 0
}
