package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
	marks := serverDir(t)
	r := work(t, marks)
	data := filepath.Join(serverDir(t), "data")
	s := startServer(t, r.dir, data)
	commits := 0
	want := map[string]int{r.git("rev-parse", "HEAD"): 1}
	for kill := range kills {
		if commits < 20 {
			commits++
			branch := fmt.Sprintf("branch-%d", commits)
			r.git("checkout", "-q", "-b", branch)
			sha := r.commit(fmt.Sprintf("commit %d", commits), map[string]string{"n": strconv.Itoa(commits)})
			want[sha] = 1
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		if agents := s.agentProcesses(); kill%2 == 1 && len(agents) > 0 {
			_ = syscall.Kill(agents[rand.IntN(len(agents))], syscall.SIGKILL)
			continue
		}
		s.kill()
		s = startServer(t, r.dir, data)
	}
	var all []pipeline
	missing := ""
	defer func() {
		if t.Failed() {
			known, _ := os.ReadFile(filepath.Join(data, "refs.json"))
			t.Logf("last missing: %s; branches: %s; known: %s", missing, r.git("for-each-ref", "--format=%(refname) %(objectname)"), known)
			for _, p := range all {
				t.Log(p.VCS.Branch, p.VCS.Revision)
			}
		}
	}()
	s.eventually("one pipeline for every commit", func() bool {
		all = s.pipelines()
		got := map[string]int{}
		for _, p := range all {
			// The same commit may come to two branches before the server looks.
			got[p.VCS.Revision]++
			key := p.VCS.Branch + "@" + p.VCS.Revision
			got[key]++
			require.Equal(t, 1, got[key], key)
		}
		for key := range want {
			if got[key] == 0 {
				missing = key
				return false
			}
		}
		return true
	})
	s.eventually("every workflow ends", func() bool {
		for _, p := range all {
			statuses := s.workflowStatuses(p.ID)
			if len(statuses) == 0 || slices.ContainsFunc(statuses, func(s ci.Status) bool { return !s.Ended() }) {
				return false
			}
		}
		return true
	})
	checkRuns(t, s, all, marks)
	code, found := s.call("GET", "/api/v2/rondo/fsck", "")
	require.Equal(t, 200, code)
	require.Equal(t, "{\"findings\":0}\n", found)
	require.Equal(t, 0, s.stop(), s.errors())
	out, err := program(t, "fsck", "--data", data).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "nothing is wrong")
}

// checkRuns compares what the server says of each job with what its steps left
// on the disk.
func checkRuns(t *testing.T, s *server, all []pipeline, marks string) {
	began, ended := count(t, filepath.Join(marks, "began")), count(t, filepath.Join(marks, "ended"))
	for _, p := range all {
		for _, j := range s.jobs(p.ID) {
			for node := range 2 {
				task := fmt.Sprintf("%s.%d", j.ID, node)
				require.LessOrEqual(t, began[task], 1, "steps of %s ran twice", task)
				if j.Status == ci.Success {
					require.Equal(t, 1, ended[task], "job %s succeeded without running", task)
					s.checkLog(j.ID, node)
				} else {
					_, why := s.call("GET", "/api/v2/rondo/job/"+j.ID+"/steps", "")
					require.Equal(t, ci.InfraFailed, j.Status, "job %s: %s", j.ID, why)
				}
			}
		}
	}
}

// children lists the child processes of pid.
func children(pid int) []int {
	var list []int
	var b []byte
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

// checkLog compares the stored output of every step of a task with the length
// and hash that its agent reported, and the work step's with what it printed.
func (s *server) checkLog(job string, node int) {
	s.t.Helper()
	for _, step := range s.steps(job, node) {
		output := s.log(job, node, step.Index)
		require.Equal(s.t, step.Bytes, int64(len(output)), "step %q of %s.%d", step.Name, job, node)
		require.Equal(s.t, step.SHA256, fmt.Sprintf("%x", sha256.Sum256([]byte(output))), "step %q of %s.%d", step.Name, job, node)
		if step.Name == "Work" {
			require.Equal(s.t, 10, strings.Count(output, "line "), output)
		}
	}
}
