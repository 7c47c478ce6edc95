//go:build !race

package serval

const raceEnabled = false
