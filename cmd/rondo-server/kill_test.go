package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// TestP14_KillLoop kills the server or an agent at random points while 20
// pipelines run. Afterwards every accepted pipeline has ended, no job ran its
// steps twice without saying so, and no acknowledged line is missing (P1, P6,
// P7, P14). RONDO_KILLS sets the number of kills.
func TestP14_KillLoop(t *testing.T) {
	kills := 50
	if n, err := strconv.Atoi(os.Getenv("RONDO_KILLS")); err == nil {
		kills = n
	}
	if testing.Short() {
		kills = 5
	}
	marks := t.TempDir()
	r := newRepo(t, fmt.Sprintf(`
version: 2.1
jobs:
  work:
    docker: [{image: x}]
    resource_class: small
    parallelism: 2
    steps:
      - run:
          name: Work
          command: |
            echo "$CIRCLE_WORKFLOW_JOB_ID.$CIRCLE_NODE_INDEX" >> %[1]s/began
            for i in 1 2 3 4 5 6 7 8 9 10; do echo "line $i"; sleep 0.02; done
            echo "$CIRCLE_WORKFLOW_JOB_ID.$CIRCLE_NODE_INDEX" >> %[1]s/ended
workflows: {main: {jobs: [work]}}
`, marks))
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, r.dir, data)
	commits := 0
	for kill := range kills {
		if commits < 20 {
			commits++
			r.git("checkout", "-q", "-b", fmt.Sprintf("branch-%d", commits))
			r.commit(fmt.Sprintf("commit %d", commits), map[string]string{"n": strconv.Itoa(commits)})
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		if agents := children(s.cmd.Process.Pid); kill%2 == 1 && len(agents) > 0 {
			_ = syscall.Kill(agents[rand.IntN(len(agents))], syscall.SIGKILL)
			continue
		}
		s.kill()
		s = startServer(t, r.dir, data)
	}
	// The ref watch of a restarted server finds the commits made meanwhile.
	for n := 1; n <= commits; n++ {
		branch := fmt.Sprintf("branch-%d", n)
		s.waitPipeline(branch)
	}
	s.waitIdle()
	checkRuns(t, s, marks)
	require.Equal(t, 0, s.stop())
}

// children lists the child processes of pid.
func children(pid int) []int {
	var list []int
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		more, _ := os.ReadFile(f)
		b = append(append(b, ' '), more...)
	}
	for _, field := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(field); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// count returns how often each line stands in the file.
func count(t *testing.T, path string) map[string]int {
	b, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	n := map[string]int{}
	for _, line := range strings.Fields(string(b)) {
		n[line]++
	}
	return n
}

var _ = ci.Success
