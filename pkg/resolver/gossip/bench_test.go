package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// BenchmarkConvergence registers services on one of 50 nodes and reports how
// long it takes until each is resolvable on all of them, in the median and at
// worst. Run it with -benchtime 20x.
func BenchmarkConvergence(b *testing.B) {
	c := newCluster(b, 50)
	var took []time.Duration
	for b.Loop() {
		service := sal.MustParseName(fmt.Sprintf("svc:bench-%d", len(took)))
		begin := time.Now()
		register(b, c.nodes[len(took)%len(c.nodes)], service, 0)
		c.waitAll(b, service, 1)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "ms-median")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "ms-max")
}
