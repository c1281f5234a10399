//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// control is a group of processes whose use the kernel itself adds up.
type control struct{ memory, cpu string }

// newControl makes one, or skips where the machine allows none.
func newControl(t *testing.T) control {
	name := "rondo-test-" + string(ci.NewID())
	c := control{filepath.Join("/sys/fs/cgroup/memory", name), filepath.Join("/sys/fs/cgroup/cpuacct", name)}
	for _, dir := range []string{c.memory, c.cpu} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("no control groups of version 1 here: %v", err)
		}
		t.Cleanup(func() { // its processes have ended, and the kernel sees that soon
			require.Eventually(t, func() bool { return os.Remove(dir) == nil }, 20*time.Second, 10*time.Millisecond, dir)
		})
	}
	return c
}

// cpuSeconds is what all processes of the group have used.
func (c control) cpuSeconds(t *testing.T) float64 {
	text, err := os.ReadFile(c.cpu + "/cpuacct.usage")
	require.NoError(t, err)
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	require.NoError(t, err)
	return n / 1e9
}

// mebibytes is what the group holds in memory, without the cache of files.
func (c control) mebibytes(t *testing.T) float64 {
	text, err := os.ReadFile(c.memory + "/memory.stat")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^rss (\d+)$`).FindSubmatch(text)
	require.NotNil(t, found, "%s", text)
	n, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(t, err)
	return n / (1 << 20)
}

// node-status -self counts the jobs of this client, and what they use of it is
// what the kernel's own books say, within 5 percent.
func TestSCH08_SelfAgreesWithControlGroups(t *testing.T) {
	groups := [2]control{newControl(t), newControl(t)}
	dir := serverDir(t)
	hog := filepath.Join(dir, "hog.py")
	require.NoError(t, os.WriteFile(hog, []byte(`
import os, sys
index, dir = int(sys.argv[1]), sys.argv[2]
keep = bytearray((100 + 50 * index) << 20)
for i in range(0, len(keep), 4096):
    keep[i] = 1
open(dir + "/began%d" % index, "w")
while not os.path.exists(dir + "/gate"):
    for i in range(1000000):
        pass
`), 0o600))
	join := ""
	for i, c := range groups {
		join += fmt.Sprintf("if [ $CIRCLE_NODE_INDEX = %d ]; then for g in %s %s; do echo $$ > $g/cgroup.procs; done; fi; ", i, c.memory, c.cpu)
	}
	r := newRepo(t, fmt.Sprintf(`
version: 2.1
jobs: {hog: {machine: true, resource_class: small, parallelism: 2, steps: [{run: '%sexec python3 %s $CIRCLE_NODE_INDEX %s'}]}}
workflows: {main: {jobs: [hog]}}
`, join, hog, dir))
	s, data := team(t, fmt.Sprintf("folders: [%s]\n", r.dir))
	s.eventually("both hold their memory", func() bool {
		all, _ := filepath.Glob(filepath.Join(dir, "began*"))
		return len(all) == 2
	})
	brief := map[string]int{}
	for _, p := range s.traces("running") {
		brief[p.Allocation[:8]] = p.Task.Index
	}
	require.Len(t, brief, 2)

	before := [2]float64{groups[0].cpuSeconds(t), groups[1].cpuSeconds(t)}
	out := rondo(t, data, "nomad node-status -self")
	after := [2]float64{groups[0].cpuSeconds(t), groups[1].cpuSeconds(t)}
	require.Contains(t, out, "Running Allocs    = 2")
	rows := regexp.MustCompile(`(?m)^(\w{8}) +\d+ +\d+% +([\d.]+)s +([\d.]+) MiB$`).FindAllStringSubmatch(out, -1)
	require.Len(t, rows, 2, out)
	for _, row := range rows {
		i, known := brief[row[1]]
		require.True(t, known, out)
		cpu, _ := strconv.ParseFloat(row[2], 64)
		require.GreaterOrEqual(t, cpu, 0.95*before[i]-0.02, out) // the kernel's ticks are of 10 ms
		require.LessOrEqual(t, cpu, 1.05*after[i]+0.02, out)
		memory, _ := strconv.ParseFloat(row[3], 64)
		require.InEpsilon(t, groups[i].mebibytes(t), memory, 0.05, out)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gate"), nil, 0o600))
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.errors())
}
