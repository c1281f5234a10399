//go:build !linux

package agent

import "time"

// bootTime returns the time of day as a duration: the only clock of Go here
// that goes on while the machine is suspended.
func bootTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
