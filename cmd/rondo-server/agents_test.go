package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/stretchr/testify/require"
)

// A bench is a site whose one job notes in a folder outside of the system that
// it began, prints lines, and notes that it ended.
type bench struct {
	*site
	marks string
}

// newBench returns a site that has built its folder once, and is stopped. more
// are further steps of its job, in which MARKS is the folder of notes.
func newBench(t *testing.T, more string) *bench {
	marks := serverDir(t)
	r := newRepo(t, fmt.Sprintf(`
version: 2.1
jobs:
  work:
    docker: [{image: x}]
    resource_class: small
    steps:
      - run:
          name: Work
          command: |
            echo "$CIRCLE_WORKFLOW_JOB_ID" >> %[1]s/began
            for i in $(seq $(cat %[1]s/lines)); do echo "line $i"; sleep 0.02; done
            echo "$CIRCLE_WORKFLOW_JOB_ID" >> %[1]s/ended
%[2]sworkflows: {main: {jobs: [work]}}
`, marks, strings.ReplaceAll(more, "MARKS", marks)))
	b := &bench{newSite(t, r.dir), marks}
	b.lines(1)
	b.settled()
	return b
}

// lines says how many lines a job prints from now on, 50 a second.
func (b *bench) lines(n int) {
	require.NoError(b.t, os.WriteFile(filepath.Join(b.marks, "lines"), []byte(strconv.Itoa(n)), 0o600))
}

// times returns how often the job noted that it began, or ended.
func (b *bench) times(what, job string) int { return count(b.t, filepath.Join(b.marks, what))[job] }

// begin triggers a pipeline and waits until its step runs. agent is the process
// that runs it.
func (b *bench) begin() (pipeline, job string, agent int) {
	b.t.Helper()
	pipeline, first := b.run()
	b.s.eventually("the step runs", func() bool { agent = b.agent(); return agent != 0 && b.times("began", first.ID) == 1 })
	return pipeline, first.ID, agent
}

// status returns what became of the one job of a pipeline that has ended.
func (b *bench) status(pipeline string) ci.Status {
	b.t.Helper()
	b.end(pipeline)
	all := b.s.jobs(pipeline)
	require.Len(b.t, all, 1)
	return all[0].Status
}

// gone waits until no process of the job is left.
func (b *bench) gone(job string) {
	b.t.Helper()
	b.s.eventually("no process of the job is left", func() bool {
		dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, d := range dirs {
			if env, err := os.ReadFile(d); err == nil && strings.Contains(string(env), host.Marker+"="+job+".0/") {
				return false
			}
		}
		return true
	})
}

// TestP4a_PausedPastItsLease pauses an agent in the middle of a step until its
// task is given up, and lets it go on: what it does then has no effect, its
// step ends, and the job does not run again by itself (P6).
func TestP4a_PausedPastItsLease(t *testing.T) { short(t); pausedPastItsLease(t, 1) }

func TestFault_P4a_PausedPastItsLease(t *testing.T) { faulty(t); pausedPastItsLease(t, 4) }

func pausedPastItsLease(t *testing.T, times int) {
	b := newBench(t, "")
	b.more += "lease: 6s\n"
	b.lines(100_000)
	b.start()
	for range times {
		pipeline, job, agent := b.begin()
		freeze(t, agent)
		require.Equal(t, ci.InfraFailed, b.status(pipeline), b.s.errors())
		before := b.s.log(job, 0, 1)
		_ = syscall.Kill(agent, syscall.SIGCONT) // unless it was killed
		b.gone(job)
		require.Equal(t, before, b.s.log(job, 0, 1))
		require.Equal(t, 1, b.times("began", job))
		require.Zero(t, b.times("ended", job))
	}
	b.lines(3)
	pipeline, _ := b.run()
	require.Equal(t, ci.Success, b.status(pipeline))
	b.finish()
}

// TestP4a_PausedBeforeItClaims pauses the agent that is to have the next task,
// until another one has run it. It goes on, and runs nothing.
func TestP4a_PausedBeforeItClaims(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.more += "lease: 6s\n"
	b.lines(10)
	b.start()
	var waits []int
	b.s.eventually("an agent waits for work", func() bool {
		waits = b.s.agentProcesses()
		return len(waits) == 1
	})
	freeze(t, waits[0])
	id, status := b.trigger()
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, ci.Success, b.status(id), b.s.errors())
	job := b.s.jobs(id)[0].ID
	_ = syscall.Kill(waits[0], syscall.SIGCONT)
	b.gone(job)
	require.Equal(t, 1, b.times("began", job))
	require.Equal(t, 1, b.times("ended", job))
	b.s.checkLog(job, 0)
	b.finish()
}

// TestP6a_AgentKilled kills the agent at many points of a job: the steps run at
// most once, and the job ends with what was seen of it and a reason (P5).
func TestP6a_AgentKilled(t *testing.T) { short(t); agentKilled(t, 4) }

func TestFault_P6a_AgentKilled(t *testing.T) { faulty(t); agentKilled(t, 40) }

func agentKilled(t *testing.T, points int) {
	b := newBench(t, "      - run: {name: Make, command: head -c 3000000 /dev/urandom > made}\n      - store_artifacts: {path: made}\n")
	b.lines(10)
	b.start()
	lost := 0
	for point := range points {
		id, status := b.trigger()
		require.Equal(t, http.StatusCreated, status)
		time.Sleep(time.Duration(point*800/points) * time.Millisecond)
		for _, pid := range b.s.agentProcesses() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		ended := b.status(id)
		job := b.s.jobs(id)[0].ID
		b.gone(job)
		require.LessOrEqual(t, b.times("began", job), 1, "at point %d", point)
		if ended != ci.Success {
			lost++
			require.Equal(t, ci.InfraFailed, ended, "at point %d", point)
			require.NotEmpty(t, b.reason(job))
		} else {
			require.Equal(t, 1, b.times("ended", job))
			b.s.checkLog(job, 0)
		}
	}
	t.Logf("%d jobs lost their agent in a step", lost)
	b.finish()
}

// TestP5c_AgentAndServerKilled kills both in the middle of a step. The next
// server sees at once that the agent of this machine is gone.
func TestP5c_AgentAndServerKilled(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.lines(100_000)
	b.start()
	pipeline, job, agent := b.begin()
	b.s.kill()
	require.NoError(t, syscall.Kill(agent, syscall.SIGKILL))
	b.start()
	require.Equal(t, ci.InfraFailed, b.status(pipeline))
	b.gone(job)
	require.NotEmpty(t, b.reason(job))
	require.Equal(t, 1, b.times("began", job))
	b.finish()
}
