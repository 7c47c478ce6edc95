//go:build race

package flowset

// raceEnabled skips long simulations: they run on one goroutine, where the race
// detector finds nothing and costs tenfold.
const raceEnabled = true
