package ci_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// A row is a report and what it must do.
type reportRow struct {
	index   int
	epoch   int64
	status  ci.Status
	job     ci.Status // of the job afterwards
	refused error
}

func TestWorkflow_Report(t *testing.T) {
	tests := map[string][]reportRow{
		"plain": {
			{0, 1, ci.Running, ci.Running, nil},
			{0, 1, ci.Success, ci.Success, nil},
		},
		"twice": {
			{0, 1, ci.Running, ci.Running, nil}, {0, 1, ci.Running, ci.Running, nil},
			{0, 1, ci.Failed, ci.Failed, nil}, {0, 1, ci.Failed, ci.Failed, nil},
			{0, 1, ci.Success, ci.Failed, nil},
		},
		"the end before the start": {
			{0, 1, ci.Success, ci.Success, nil}, {0, 1, ci.Running, ci.Success, nil},
		},
		"lost before it began": {
			{0, 1, ci.Running, ci.Running, nil}, {0, 1, ci.Queued, ci.Queued, nil},
			{0, 1, ci.Running, ci.Queued, nil}, // late
			{0, 2, ci.Running, ci.Running, nil}, {0, 1, ci.Success, ci.Running, ci.ErrConflict},
			{0, 1, ci.Queued, ci.Running, ci.ErrConflict}, {0, 2, ci.Success, ci.Success, nil},
		},
		"a newer hand-out of a running task": {
			{0, 1, ci.Running, ci.Running, nil}, {0, 2, ci.Running, ci.Running, nil},
			{0, 1, ci.Success, ci.Running, ci.ErrConflict}, {0, 2, ci.Failed, ci.Failed, nil},
		},
		"not a status of tasks": {
			{0, 1, "", ci.Queued, ci.ErrConflict}, {0, 1, "nonsense", ci.Queued, ci.ErrConflict},
			{0, 1, ci.NotRun, ci.Queued, ci.ErrConflict}, {0, 1, ci.OnHold, ci.Queued, ci.ErrConflict},
			{0, 1, ci.Blocked, ci.Queued, ci.ErrConflict}, {0, 1, ci.Failing, ci.Queued, ci.ErrConflict},
		},
		"no such slice": {
			{1, 1, ci.Running, ci.Queued, ci.ErrInvalid}, {1 << 30, 1, ci.Running, ci.Queued, ci.ErrInvalid},
		},
	}
	for name, rows := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, planned("a"))
			for i, r := range rows {
				err := f.report("a", r.index, r.epoch, r.status)
				if r.refused == nil {
					require.NoError(t, err, "row %d", i)
				} else {
					require.ErrorIs(t, err, r.refused, "row %d", i)
				}
				require.Equal(t, r.job, f.w.JobNamed("a").Status, "row %d", i)
			}
		})
	}
}

// Every slice counts, each change of one is told, and the worst end is the
// job's, once all have ended.
func TestWorkflow_ReportParallel(t *testing.T) {
	ends := []ci.Status{ci.Success, ci.Canceled, ci.InfraFailed, ci.TimedOut, ci.Failed} // from good to bad
	for worst, want := range ends {
		f := newFlow(t, planned("a*3", "b: a"))
		for i := range 3 {
			require.NoError(t, f.report("a", i, int64(i+1), ci.Running))
			require.Equal(t, ci.Running, f.w.JobNamed("a").Status)
		}
		require.NoError(t, f.report("a", 2, 3, ci.Success))
		require.NoError(t, f.report("a", 1, 2, ends[worst]))
		require.Equal(t, ci.Running, f.w.JobNamed("a").Status, "slice 0 still runs")
		require.NoError(t, f.report("a", 0, 1, ends[worst/2]))
		require.Equal(t, want, f.w.JobNamed("a").Status)
		require.Equal(t, int64(3), f.w.JobNamed("a").Tasks[2].Epoch)
	}
}

// A slice that waits again does not stop the job while others run.
func TestWorkflow_RequeueOneSlice(t *testing.T) {
	f := newFlow(t, planned("a*2"))
	require.NoError(t, f.report("a", 0, 1, ci.Running))
	require.NoError(t, f.report("a", 1, 1, ci.Running))
	require.NoError(t, f.report("a", 0, 1, ci.Queued))
	require.Equal(t, ci.Running, f.w.JobNamed("a").Status)
	require.NoError(t, f.report("a", 1, 1, ci.Queued))
	j := f.w.JobNamed("a")
	require.Equal(t, ci.Queued, j.Status)
	require.True(t, j.Started.IsZero())
	require.Empty(t, j.Tasks[0].Node)
	require.NoError(t, f.report("a", 1, 2, ci.Success))
	require.Equal(t, ci.Running, j.Status, "one has ended, the other waits")
	require.NoError(t, f.report("a", 0, 2, ci.Success))
	require.Equal(t, ci.Success, j.Status)
}

func TestWorkflow_ReportReasonsAndTimes(t *testing.T) {
	f := newFlow(t, planned("a*2"))
	j := f.w.JobNamed("a")
	say := func(index int, s ci.Status, reason string) {
		_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) {
			return w.Report(ci.Report{Task: j.ID.Task(index), Epoch: 1, Status: s, Reason: reason, Node: "node-7"}, now)
		})
		require.NoError(t, err)
	}
	say(0, ci.Running, "")
	started := f.now
	say(1, ci.Running, "")
	say(0, ci.Failed, "exit code 1")
	say(1, ci.Success, "")
	require.Equal(t, "node 0: exit code 1", j.Reason)
	require.Equal(t, started, j.Started)
	require.Equal(t, f.now, j.Stopped)
	require.Equal(t, "node-7", j.Tasks[1].Node)
	last := f.events[len(f.events)-2]
	require.Equal(t, ci.JobEnded, last.Kind)
	require.Equal(t, j.Reason, last.Reason)
}

// Start is told before the end even if the report of it never came (AUD-11).
func TestAUD11_StartIsToldBeforeTheEnd(t *testing.T) {
	f := newFlow(t, planned("a"))
	require.NoError(t, f.report("a", 0, 1, ci.Success))
	var kinds []ci.EventKind
	for _, e := range f.events {
		if e.Job != "" {
			kinds = append(kinds, e.Kind)
		}
	}
	require.Equal(t, []ci.EventKind{ci.JobQueued, ci.JobStarted, ci.JobEnded}, kinds)
}

func TestWorkflow_ReportStrangers(t *testing.T) {
	f := newFlow(t, planned("a", "b: a", "hold!approval"))
	say := func(task ci.TaskID) error {
		_, err := f.do(func(w *ci.Workflow, now time.Time) ([]ci.Event, error) {
			return w.Report(ci.Report{Task: task, Epoch: 1, Status: ci.Success}, now)
		})
		return err
	}
	require.ErrorIs(t, say("stranger.0"), ci.ErrNotFound)
	require.ErrorIs(t, say("rubbish"), ci.ErrInvalid)
	require.ErrorIs(t, say(""), ci.ErrInvalid)
	require.ErrorIs(t, say(f.w.JobNamed("b").ID.Task(0)), ci.ErrInvalid, "not queued yet")
	require.ErrorIs(t, say(f.w.JobNamed("hold").ID.Task(0)), ci.ErrInvalid, "an approval has no tasks")
	require.Equal(t, "a=queued b=blocked hold=on_hold", f.statuses())
}
