//go:build !linux

package host

import (
	"syscall"
	"time"
)

// adoptOrphans does nothing: only Linux lets a process adopt orphans.
func adoptOrphans() error { return nil }

// reap does nothing: orphans go to the system.
func (h *host) reap() {}

// sweep does nothing: the groups of the steps have been killed, and this
// system does not show the environment of others.
func (h *host) sweep() int { return 0 }

// Sweep finds nothing on this system: it cannot see the environment of other
// processes.
func Sweep(func(marker string) bool) int { return 0 }

// groupAlive reports whether the group of a session's leader has a process.
func groupAlive(leader int) bool { return syscall.Kill(-leader, 0) == nil }

func marked(func(string) bool) []int { return nil }

func use(int) (time.Duration, int64, bool) { return 0, 0, false }
