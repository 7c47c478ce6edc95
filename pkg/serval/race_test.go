//go:build race

package serval

const raceEnabled = true
