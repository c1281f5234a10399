package local

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// machineMemoryMB returns the memory of the machine, or of the control group
// that this process is in if that is less.
func machineMemoryMB() int {
	const otherwise = 4096
	total := otherwise
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
				if kb, err := strconv.Atoi(f[1]); err == nil && kb > 0 {
					total = kb / 1024
				}
				break
			}
		}
	}
	for _, limit := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if data, err := os.ReadFile(limit); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n > 0 {
				total = int(min(int64(total), n>>20))
			}
		}
	}
	return total
}

// birth identifies a living process beyond its number: the boot and the tick at
// which it started. It is "" for one that is gone, and for one that has ended
// and only waits to be reaped.
func birth(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything.
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return ""
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(boot)) + "/" + f[19]
}
