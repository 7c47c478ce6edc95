package tun

import (
	"os"
	"testing"

	"gvisor.dev/gvisor/pkg/refs"

	"github.com/serval-net/serval/servald/internal/nodetest"
)

// TestMain fails the package if a goroutine is left behind, or a packet buffer or view is
// never released.
func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	code := nodetest.Main(m)
	refs.DoLeakCheck()
	os.Exit(code)
}
