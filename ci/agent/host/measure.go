package host

import "time"

// A Usage is what processes of jobs use of this machine.
type Usage struct {
	Processes int
	// CPU is what they have used so far, with their children that have ended.
	CPU time.Duration
	// Memory is what they hold for themselves, in bytes. What several of them
	// share counts once.
	Memory int64
}

// Measure adds up the processes whose markers match, see [Mark], and their
// descendants. Processes of other users are left out unless it runs as root;
// elsewhere than on Linux nothing is found. It changes nothing.
func Measure(match func(marker string) bool) Usage {
	var u Usage
	for _, pid := range marked(match) {
		cpu, memory, ok := use(pid)
		if !ok {
			continue // it has just ended
		}
		u.Processes++
		u.CPU += cpu
		u.Memory += memory
	}
	return u
}
