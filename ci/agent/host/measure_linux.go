package host

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat (USER_HZ, the same everywhere).
const tick = time.Second / 100

// use returns what a process has used of the processors, with its children
// that it has waited for, and what memory it holds for itself.
func use(pid int) (cpu time.Duration, memory int64, ok bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, 0, false
	}
	// The name in parentheses may hold anything, so count from its end.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, 0, false
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(f, 10, 64)
		cpu += time.Duration(n) * tick
	}
	if memory, ok = sum(dir+"/smaps_rollup", "Pss_Anon:", "Pss_Shmem:"); !ok {
		memory, _ = sum(dir+"/status", "RssAnon:", "RssShmem:") // an older kernel
	}
	return cpu, memory, true
}

// sum adds up lines of a file in /proc that are in kB.
func sum(file string, keys ...string) (bytes int64, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		for _, key := range keys {
			if len(f) > 1 && f[0] == key {
				n, _ := strconv.ParseInt(f[1], 10, 64)
				bytes, ok = bytes+n<<10, true
			}
		}
	}
	return bytes, ok
}
