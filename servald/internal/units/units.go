// Package units prints and reads amounts of data and time the way servald shows
// them to people: bytes in binary units, rates in decimal bits per second.
package units

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var binary = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Bytes returns n as text, such as "512 B" or "256.0 MiB".
func Bytes(n int64) string {
	v, i := float64(n), 0
	for v >= 1024 && i < len(binary)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, binary[i])
}

// BitsPerSecond returns the rate of n bytes in d, and 0 when d is not positive.
func BitsPerSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) * 8 / d.Seconds()
}

// Rate returns a rate in bits per second as text, such as "3.20 Gbit/s".
func Rate(bps float64) string {
	switch {
	case bps >= 1e9:
		return fmt.Sprintf("%.2f Gbit/s", bps/1e9)
	case bps >= 1e6:
		return fmt.Sprintf("%.1f Mbit/s", bps/1e6)
	case bps >= 1e3:
		return fmt.Sprintf("%.1f kbit/s", bps/1e3)
	}
	return fmt.Sprintf("%.0f bit/s", bps)
}

// Duration returns d with three significant digits, such as "1.23ms" or "45.6s".
func Duration(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		switch {
		case d >= 100*unit:
			return d.Round(unit).String()
		case d >= 10*unit:
			return d.Round(unit / 10).String()
		case d >= unit:
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

// Size is a number of bytes that a command line flag reads as "64K", "1.5MiB" or
// "2000"; K, M, G and T are binary with or without "iB" and "B".
type Size int64

// String returns the size as [Bytes] prints it. It is part of pflag.Value.
func (s *Size) String() string { return Bytes(int64(*s)) }

// Type names the kind of value in help texts. It is part of pflag.Value.
func (s *Size) Type() string { return "size" }

// Set reads text into the size. It is part of pflag.Value.
func (s *Size) Set(text string) error {
	n, err := ParseSize(text)
	if err != nil {
		return err
	}
	*s = Size(n)
	return nil
}

// ParseSize reads a number of bytes as described at [Size].
func ParseSize(text string) (int64, error) {
	bad := fmt.Errorf("%q is not a size: write a number and a unit, such as 64K, 1.5M or 2G", text)
	t := strings.ToUpper(strings.TrimSpace(text))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "B"), "I")
	factor := 1.0
	if i := strings.IndexAny(t, "KMGT"); i >= 0 {
		if i != len(t)-1 {
			return 0, bad
		}
		factor = math.Pow(1024, float64(1+strings.IndexByte("KMGT", t[i])))
		t = t[:i]
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
	if err != nil || v < 0 || v*factor >= math.MaxInt64 || math.IsNaN(v) {
		return 0, bad
	}
	return int64(v * factor), nil
}
