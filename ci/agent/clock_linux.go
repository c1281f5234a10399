package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime returns the time since the machine was started. Unlike Go's own
// monotonic clock it goes on while the machine is suspended, so that a lease
// does not seem fresh to an agent that slept through its end.
func bootTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(t.Nano())
}
