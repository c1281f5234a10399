package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
)

// hostUse returns how much of CPU and memory of this machine is in use, as the
// kernel counts it; false where there is no /proc.
func hostUse(ctx context.Context) (cpu, memory string, ok bool) {
	busy, all, ok := cpuTime()
	if !ok {
		return "", "", false
	}
	select {
	case <-ctx.Done():
		return "", "", false
	case <-time.After(200 * time.Millisecond):
	}
	later, allLater, _ := cpuTime()
	if allLater > all {
		cpu = fmt.Sprintf("%.0f%%", 100*float64(later-busy)/float64(allLater-all))
	}
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "", "", false
	}
	kib := map[string]int{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 {
			kib[f[0]], _ = strconv.Atoi(f[1])
		}
	}
	total := kib["MemTotal:"]
	return cpu, fmt.Sprintf("%d MiB/%d MiB", (total-kib["MemAvailable:"])>>10, total>>10), total > 0
}

// jobsUse returns what each task uses of this machine now: processes, CPUs,
// CPU time so far, and memory. Tasks without processes here are not in it.
func jobsUse(ctx context.Context, placed []ci.Trace) [][]string {
	marks := func(t ci.Trace) func(string) bool {
		mark := host.Mark(t.Task.ID, t.Epoch)
		return func(m string) bool { return m == mark }
	}
	before, began := make([]host.Usage, len(placed)), time.Now()
	for i, t := range placed {
		if t.State != "dead" {
			before[i] = host.Measure(marks(t))
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(200 * time.Millisecond):
	}
	var rows [][]string
	for i, t := range placed {
		if before[i].Processes == 0 {
			continue
		}
		u := host.Measure(marks(t))
		busy := max(float64(u.CPU-before[i].CPU), 0) / float64(time.Since(began))
		rows = append(rows, []string{
			brief(t.Allocation), strconv.Itoa(u.Processes), fmt.Sprintf("%.0f%%", 100*busy), fmt.Sprintf("%.2fs", u.CPU.Seconds()), fmt.Sprintf("%.1f MiB", float64(u.Memory)/(1<<20)),
		})
	}
	return rows
}

// cpuTime returns the ticks in which the processors worked, and all ticks.
func cpuTime() (busy, all int, ok bool) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for i, f := range strings.Fields(line) {
		n, err := strconv.Atoi(f)
		if i == 0 || err != nil || i > 8 { // what guests use counts in user time already
			continue
		}
		if all += n; i != 4 && i != 5 { // idle, and waiting for disks
			busy += n
		}
	}
	return busy, all, all > 0
}
