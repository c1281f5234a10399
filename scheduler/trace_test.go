package scheduler_test

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// Each hop has its time: usage queue, run queue, with the cluster, claimed.
func TestQUE06_TraceOfEachHop(t *testing.T) {
	play(t, scheduler.Config{OrgLimit: 1}, func(t *testing.T, s *stage) {
		began := time.Now().UTC()
		first := s.queue(ci.Task{Repo: "shop", Number: 1})
		l := s.claim(first, 1)
		second := s.queue(ci.Task{Repo: "shop", Number: 2})
		s.after(10 * time.Second)
		w, ok := s.Trace(second)
		require.True(t, ok)
		require.Equal(t, "pending", w.State)
		require.Zero(t, w.Runnable, "the limit keeps it in the usage queue")
		require.Equal(t, began, w.Queued)
		s.finish(l, ci.Success)
		w, _ = s.Trace(second)
		require.Equal(t, began.Add(10*time.Second), w.Runnable)
		require.Equal(t, w.Runnable, w.Placed)
		s.after(2 * time.Second)
		l = s.claim(second, 1)
		w, _ = s.Trace(second)
		require.Equal(t, "running", w.State)
		require.Equal(t, began.Add(12*time.Second), w.Claimed)
		s.after(time.Minute)
		s.finish(l, ci.Failed)
		w, ok = s.Trace(second)
		require.True(t, ok)
		require.Equal(t, "dead", w.State, "whether it succeeds or fails")
		require.Equal(t, began.Add(72*time.Second), w.Ended)
		require.Contains(t, w.Reason, "failed")
	}, node)
}

// SCH-02 and SCH-05, SCH-06: one job per slice, its states are pending, running
// and dead.
func TestSCH06_StatesOfJobs(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		id := s.queue(ci.Task{Repo: "shop", Number: 7, Total: 3})
		states := func() (all []string) {
			for _, r := range s.Traces(100) {
				all = append(all, r.State)
			}
			return all
		}
		require.Equal(t, []string{"pending", "pending", "pending"}, states(), "no node")
		for i, r := range s.Traces(100) {
			id, err := scheduler.ParseJobID(r.ID)
			require.NoError(t, err)
			require.Equal(t, i, id.Index)
			require.Equal(t, "acme-shop", id.Name)
		}
		before := s.Traces(100)[0].ID
		s.cluster.SetNodes(node)
		s.after(time.Second)
		require.Equal(t, before, s.Traces(100)[0].ID, "a job keeps its name when it is placed")
		l := s.claim(id, 1)
		require.Equal(t, "running", states()[0])
		require.Equal(t, "pending", states()[2])
		s.finish(l, ci.Failed)
		require.Equal(t, "dead", states()[0])
		s.world.cancel(id)
		s.after(time.Minute)
		require.Equal(t, []string{"dead", "dead", "dead"}, states())
	})
}

func TestTRB09_AdoptWhatWasLost(t *testing.T) {
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		lost := ci.Task{Job: "lost", Project: "p1", Org: "acme", Name: "build", Total: 1, Workflow: "w1", Executor: ci.ExecutorDocker, Queued: time.Now()}.Slice(0)
		_, known := s.Trace(lost.ID)
		require.False(t, known)
		require.True(t, s.Adopt(lost))
		require.False(t, s.Adopt(lost), "once")
		s.after(time.Second)
		s.claim(lost.ID, 1)
	}, node)
}

func TestSCH07_StateOfNodes(t *testing.T) {
	down := node
	down.Name, down.State, down.Reason = "n2", scheduler.NodeDown, "no heartbeat"
	play(t, scheduler.Config{}, func(t *testing.T, s *stage) {
		s.queue(ci.Task{Total: 4})
		q := s.State()
		require.True(t, q.Ready)
		require.Len(t, q.Nodes, 2)
		require.Equal(t, "us-east-1", q.Nodes[0].Datacenter)
		require.Equal(t, "linux-64bit", q.Nodes[0].Class)
		require.Equal(t, 2, q.Nodes[0].Tasks)
		require.Equal(t, "no heartbeat", q.Nodes[1].Reason)
		require.Equal(t, "1 more node of 4 CPUs and 8192 MB, like node n1, would start all that waits.", q.Advice)
	}, node, down)
}

// The lines that the guide tells operators to look for.
func TestTRB09_LinesOfTheLog(t *testing.T) {
	var lines bytes.Buffer
	play(t, scheduler.Config{Log: slog.New(slog.NewTextHandler(&lines, nil))}, func(t *testing.T, s *stage) {
		s.queue(ci.Task{Org: "GERey", Repo: "realitycheck", Number: 38, Total: 3})
		s.after(5 * time.Minute)
	}, node)
	require.Contains(t, lines.String(), `msg="taking build=GERey/realitycheck/38" job=job-0001 class=medium cpu=2 ram=4096 parallel=3`)
	require.Equal(t, 2, bytes.Count(lines.Bytes(), []byte("Still running...")), "every two minutes")
}

// The dispatcher's lines, in the order of the guide.
func TestTRB08_LinesOfTheDispatcher(t *testing.T) {
	var lines bytes.Buffer
	play(t, scheduler.Config{OrgLimit: 1, Log: slog.New(slog.NewTextHandler(&lines, nil))}, func(t *testing.T, s *stage) {
		first := s.queue(ci.Task{Org: "GERey", Repo: "realitycheck", Number: 37})
		s.queue(ci.Task{Org: "GERey", Repo: "realitycheck", Number: 38})
		s.finish(s.claim(first, 1), ci.Success)
		s.after(time.Second)
	}, node)
	require.Equal(t, []string{
		"dispatcher mode is on", "GERey/realitycheck/37 -> forwarded to run-queue", "publishing :usage-changed event",
		"got usage-queue event for GERey (finished-build)", "GERey/realitycheck/38 -> forwarded to run-queue", "publishing :usage-changed event",
	}, regexp.MustCompile(`dispatcher mode is on|GERey/\S+ -> forwarded to run-queue|publishing :usage-changed event|got usage-queue event for GERey \(finished-build\)`).FindAllString(lines.String(), -1))
}
