package load

import (
	"runtime"
	"runtime/metrics"
)

// memory collects garbage and returns the bytes of live heap objects and of
// goroutine stacks in this process.
func memory() uint64 {
	runtime.GC()
	runtime.GC() // the second one empties sync.Pools
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		sum += s.Value.Uint64()
	}
	return sum
}
