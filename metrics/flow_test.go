package metrics_test

import (
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/stretchr/testify/require"
)

func TestMET06_Flow(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	now := at.Add(time.Minute)
	clock := func() time.Time { return now }
	r := metrics.NewRegistry(clock)
	f := metrics.NewFlow(r, clock)
	add := func(after time.Duration, e ci.Event) {
		e.Time, e.Pipeline, e.Workflow = at.Add(after), "p", "w"
		f.Add(e)
	}
	add(0, ci.Event{Kind: ci.PipelineCreated, Actor: ci.Actor{Kind: ci.ActorUser}})
	pending, executing := f.Active()
	require.Equal(t, []int{1, 0}, []int{pending, executing})
	add(0, ci.Event{Kind: ci.WorkflowStarted})
	for i, end := range []ci.Status{ci.Success, ci.Failed, ci.Failed} {
		job := ci.JobID(rune('a' + i))
		add(1*time.Second, ci.Event{Kind: ci.JobQueued, Job: job, Task: &ci.Task{Class: "large", Executor: ci.ExecutorDocker}})
		add(3*time.Second, ci.Event{Kind: ci.JobStarted, Job: job})
		add(8*time.Second, ci.Event{Kind: ci.JobEnded, Job: job, Status: end})
	}
	_, executing = f.Active()
	require.Equal(t, 1, executing)
	add(8*time.Second, ci.Event{Kind: ci.JobEnded, Job: "never", Status: ci.NotRun})
	add(9*time.Second, ci.Event{Kind: ci.WorkflowEnded, Status: ci.Failed})

	samples, err := r.Gather(t.Context())
	require.NoError(t, err)
	got := map[string]metrics.Sample{}
	for _, s := range samples {
		key := s.Name
		for _, tag := range s.Tags {
			key += " " + tag.Value
		}
		got[key] = s
	}
	require.EqualValues(t, 1, got["pipelines.started_total user"].Value)
	require.EqualValues(t, 2, got["jobs.ended_total failed"].Value)
	require.EqualValues(t, 3, got["queue.wait large docker"].Sketch.Count)
	require.InDelta(t, 2, got["queue.wait large docker"].Sketch.Mean(), 1e-9)
	require.EqualValues(t, 1, got["jobs.first_failure"].Sketch.Count)
	require.InDelta(t, 9, got["cicd.pipeline.run.duration failure"].Sketch.Mean(), 1e-9)
	complete, dead := f.Ended()
	require.Equal(t, []int{1, 3}, []int{complete, dead}, "MET-06, MET-07")
	now = now.Add(5 * time.Hour)
	complete, dead = f.Ended()
	require.Equal(t, []int{0, 0}, []int{complete, dead})
	known := map[string]bool{}
	for _, m := range metrics.Catalogue() {
		known[m.Name] = true
	}
	for _, s := range samples {
		require.True(t, known[s.Name], "%s is not in the catalogue", s.Name)
	}
}
