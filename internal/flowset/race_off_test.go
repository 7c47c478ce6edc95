//go:build !race

package flowset

const raceEnabled = false
