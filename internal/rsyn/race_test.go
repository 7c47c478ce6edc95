//go:build race

package rsyn

func init() { raceEnabled = true }
