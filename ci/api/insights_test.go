package api_test

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/insights"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A memory is the real insights over runs that a test makes up.
type memory struct {
	*insights.Insights
	runs []ci.Workflow
	of   map[ci.PipelineID]ci.Pipeline
	told map[ci.JobID][]ci.Test
}

func newMemory(*rooms) *memory {
	m := &memory{of: map[ci.PipelineID]ci.Pipeline{}, told: map[ci.JobID][]ci.Test{}}
	m.Insights = insights.New(memdb.New(), m, insights.Config{})
	return m
}

func (m *memory) Pipeline(_ context.Context, id ci.PipelineID) (ci.Pipeline, error) {
	return m.of[id], nil
}
func (m *memory) Tests(_ context.Context, j ci.JobID) ([]ci.Test, error) { return m.told[j], nil }
func (m *memory) Workflow(_ context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	for _, w := range m.runs {
		if w.ID == id {
			return w, nil
		}
	}
	return ci.Workflow{}, ci.ErrNotFound
}

// ran adds a run of one job that took so many seconds.
func (m *memory) ran(p ci.ProjectID, name, branch, revision string, s ci.Status, ago time.Duration, took int, tests ...ci.Test) {
	n := len(m.runs) + 1
	end := time.Now().Add(-ago)
	start := end.Add(-time.Duration(took) * time.Second)
	pipeline := ci.Pipeline{ID: ci.PipelineID(fmt.Sprint("p", n)), Number: int64(n), Trigger: ci.Trigger{Branch: branch, Revision: revision}}
	job := ci.Job{
		ID: ci.JobID(fmt.Sprint("j", n)), Name: "test", Number: int64(n), Status: s, Class: "medium", Parallelism: 1,
		Queued: start.Add(-time.Second), Started: start, Stopped: end,
	}
	m.of[pipeline.ID], m.told[job.ID] = pipeline, tests
	m.runs = append(m.runs, ci.Workflow{
		ID: ci.WorkflowID(fmt.Sprintf("w%03d", n)), Pipeline: pipeline.ID, Project: p, Name: name, Status: s,
		Created: start, Stopped: end, Jobs: []ci.Job{job},
	})
}

// learn lets the memory follow all of it.
func (m *memory) learn(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	follow := func(ctx context.Context, _ uint64) iter.Seq2[ci.Event, error] {
		return func(yield func(ci.Event, error) bool) {
			for i, w := range m.runs {
				yield(ci.Event{Seq: uint64(i + 1), Kind: ci.WorkflowEnded, Workflow: w.ID}, nil)
			}
			<-ctx.Done()
		}
	}
	done := make(chan error)
	go func() { done <- m.Run(ctx, follow) }()
	require.Eventually(t, func() bool {
		n := 0
		for _, p := range []ci.ProjectID{m.runs[0].Project} {
			for range m.Runs(ctx, ci.RunQuery{Project: p}) {
				n++
			}
		}
		return n == len(m.runs)
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

func TestARC07_InsightsAPI(t *testing.T) {
	n := newTown(t)
	m := n.cfg.Chapters.Insights.(*memory)
	p := n.world.now.ID
	for i := range 25 {
		m.ran(p, "build", "main", fmt.Sprint(i), ci.Success, time.Duration(i)*time.Hour, i+1)
	}
	m.ran(p, "build", "main", "x", ci.Failed, 30*time.Hour, 100, ci.Test{Name: "a", Classname: "c", Result: "failure", Seconds: 2}, ci.Test{Name: "b", Result: "success"})
	m.ran(p, "build", "main", "x", ci.Success, 29*time.Hour, 100, ci.Test{Name: "a", Classname: "c", Result: "success", Seconds: 1}, ci.Test{Name: "b", Result: "success"})
	m.ran(p, "build", "feature", "f", ci.Canceled, time.Hour, 5)
	m.ran(p, "nightly", "main", "n", ci.Success, 200*time.Hour, 7)
	m.learn(t)

	const at = "/insights/gh/acme/shop"
	all := items(n.say(200, "GET", at+"/workflows", ""))
	require.Len(t, all, 2)
	require.Equal(t, "build", all[0]["name"])
	metrics := all[0]["metrics"].(map[string]any)
	require.EqualValues(t, 27, metrics["total_runs"], "the default branch only")
	require.EqualValues(t, 26, metrics["successful_runs"])
	require.EqualValues(t, 1, metrics["failed_runs"])
	require.InDelta(t, 26.0/27, metrics["success_rate"], 1e-9)
	require.EqualValues(t, 14, metrics["duration_metrics"].(map[string]any)["median"])
	require.EqualValues(t, 1, metrics["queue_metrics"].(map[string]any)["median"])
	require.Nil(t, n.say(200, "GET", at+"/workflows", "")["next_page_token"])
	require.Len(t, items(n.say(200, "GET", at+"/workflows?reporting-window=last-7-days", "")), 1)
	n.say(400, "GET", at+"/workflows?reporting-window=last-year", "")

	// Two pages of runs, none twice, none missing.
	seen := map[string]bool{}
	token := ""
	for range 2 {
		page := n.say(200, "GET", at+"/workflows/build?all-branches=true&page-token="+url.QueryEscape(token), "")
		for _, r := range items(page) {
			require.False(t, seen[r["id"].(string)])
			seen[r["id"].(string)] = true
		}
		token, _ = page["next_page_token"].(string)
	}
	require.Len(t, seen, 28)
	require.Empty(t, token)
	require.Len(t, items(n.say(200, "GET", at+"/workflows/build?start-date="+time.Now().Add(-150*time.Minute).UTC().Format(time.RFC3339), "")), 3)
	n.say(400, "GET", at+"/workflows/build?start-date=yesterday", "")
	n.say(400, "GET", at+"/workflows/build?start-date=2020-01-01", "")

	require.Equal(t, "test", items(n.say(200, "GET", at+"/workflows/build/jobs", ""))[0]["name"])
	require.Len(t, items(n.say(200, "GET", at+"/workflows/build/jobs/test", "")), 20)
	require.Empty(t, items(n.say(200, "GET", at+"/workflows/build/jobs/none", "")))
	require.Equal(t, []any{"feature", "main"}, n.say(200, "GET", at+"/branches?workflow-name=build", "")["branches"])
	flaky := n.say(200, "GET", at+"/flaky-tests", "")
	require.EqualValues(t, 1, flaky["total_flaky_tests"])
	require.EqualValues(t, 1, flaky["total-flaky-tests"])
	require.Equal(t, "a", flaky["flaky_tests"].([]any)[0].(map[string]any)["test_name"])
	tests := n.say(200, "GET", at+"/workflows/build/test-metrics", "")
	require.EqualValues(t, 2, tests["total_test_runs"])
	require.Equal(t, true, tests["most_failed_tests"].([]any)[0].(map[string]any)["flaky"])
	summary := n.say(200, "GET", at+"/workflows/build/summary?reporting-window=last-24-hours", "")
	require.EqualValues(t, 24, summary["metrics"].(map[string]any)["total_runs"])
	require.InDelta(t, 8, summary["trends"].(map[string]any)["total_runs"], 1e-9, "three the day before")
	usage := items(n.say(200, "GET", at+"/usage?all-branches=true", ""))
	require.Equal(t, "medium", usage[0]["resource_class"])
	require.EqualValues(t, 29, usage[0]["total_jobs"])
	require.NotEmpty(t, items(n.say(200, "GET", "/insights/time-series/gh/acme/shop/workflows?granularity=hourly", "")))
	require.NotEmpty(t, items(n.say(200, "GET", "/insights/time-series/gh/acme/shop/workflows/build/jobs", "")))
	project := n.say(200, "GET", "/insights/pages/gh/acme/shop/summary", "")
	require.Equal(t, []any{"build", "nightly"}, project["all_workflows"])
	org := n.say(200, "GET", "/insights/gh/acme/summary", "")
	require.Equal(t, "shop", org["org_project_data"].([]any)[0].(map[string]any)["project_name"])
	n.say(404, "GET", "/insights/gh/acme/unknown/workflows", "")
	n.say(404, "GET", "/insights/gh/none/summary", "")
}
