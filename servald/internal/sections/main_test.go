package sections

import (
	"os"
	"testing"

	"github.com/serval-net/serval/servald/internal/nodetest"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }
