//go:build !linux

package notify

import "time"

// monotonic is of use to systemd only.
func monotonic() time.Duration { return 0 }
