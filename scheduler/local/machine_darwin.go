package local

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// machineMemoryMB returns the memory of the machine.
func machineMemoryMB() int {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 4096
	}
	return int(n >> 20)
}

// birth identifies a living process beyond its number: by when it started. It
// is "" for one that is gone or only waits to be reaped.
func birth(pid int) string {
	const zombie = 5 // SZOMB
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(p.Proc.P_pid) != pid || p.Proc.P_stat == zombie {
		return ""
	}
	return fmt.Sprintf("%d.%06d", p.Proc.P_starttime.Sec, p.Proc.P_starttime.Usec)
}
