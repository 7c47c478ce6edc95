package units

import (
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 256 << 20: "256.0 MiB", 3 << 29: "1.5 GiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	if got := Rate(BitsPerSecond(400e6, time.Second)); got != "3.20 Gbit/s" {
		t.Errorf("400 MB in a second is %q", got)
	}
	if got := BitsPerSecond(1, 0); got != 0 {
		t.Errorf("rate over no time is %v", got)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234567 * time.Nanosecond: "1.23ms",
		45678 * time.Millisecond:  "45.7s",
		123456 * time.Microsecond: "123ms",
		90 * time.Nanosecond:      "90ns",
		0:                         "0s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "2000": 2000, "64K": 64 << 10, "1.5MiB": 3 << 19, "2 GB": 2 << 30, "1t": 1 << 40,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "K", "-1", "1KM", "NaN", "1e30", "ten"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}
