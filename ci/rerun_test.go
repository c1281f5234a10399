package ci_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// ended returns a workflow in which b failed: a -> b -> d, a -> c, and x alone.
func ended(t *testing.T) *flow {
	f := newFlow(t, planned("a", "b: a", "c: a", "d: b", "x"))
	f.end("a", ci.Success)
	f.end("b", ci.Failed)
	f.end("c", ci.Success)
	f.end("x", ci.Success)
	require.Equal(t, ci.Failed, f.w.Status)
	return f
}

func TestWorkflow_Rerun(t *testing.T) {
	tests := []struct {
		name string
		r    ci.Rerun
		jobs []string
		want string // statuses of the new workflow; kept jobs are in capitals in kept
		kept string
	}{
		{"all", ci.Rerun{}, nil, "a=queued b=blocked c=blocked d=blocked x=queued", ""},
		{"from failed keeps successes", ci.Rerun{FromFailed: true}, nil,
			"a=success b=queued c=success d=blocked x=success", "acx"},
		{"one job and what could not run behind it", ci.Rerun{}, []string{"a"},
			"a=queued b=blocked c=success d=blocked x=success", "cx"},
		{"one job and all behind it", ci.Rerun{Downstream: true}, []string{"a"},
			"a=queued b=blocked c=blocked d=blocked x=success", "x"},
		{"one that stands alone leaves the failure", ci.Rerun{}, []string{"x"},
			"a=success b=failed c=success d=not_run x=queued", "abcd"},
		{"two jobs", ci.Rerun{}, []string{"c", "x"},
			"a=success b=failed c=queued d=not_run x=queued", "abd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := ended(t)
			tt.r.Jobs = f.ids(tt.jobs...)
			n, err := f.rerun(tt.r)
			require.NoError(t, err)
			require.Equal(t, tt.want, n.statuses())
			require.NotEqual(t, f.w.ID, n.w.ID)
			require.Equal(t, f.w.ID, n.w.RerunOf)
			require.Equal(t, bob, n.w.By)
			kept := ""
			for _, j := range n.w.Jobs {
				old := f.w.JobNamed(j.Name)
				if j.Kept {
					kept += j.Name
					require.Equal(t, old.ID, j.ID)
					require.Equal(t, old.Tasks, j.Tasks)
				} else {
					require.NotEqual(t, old.ID, j.ID)
					require.Equal(t, old.Attempt+1, j.Attempt)
					require.Zero(t, j.Number, "the store gives the number")
				}
			}
			require.Equal(t, tt.kept, kept)
		})
	}
}

func TestWorkflow_RerunRefused(t *testing.T) {
	f := ended(t)
	_, err := f.rerun(ci.Rerun{Jobs: []ci.JobID{"stranger"}})
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = f.rerun(ci.Rerun{FromFailed: true, Jobs: f.ids("a")})
	require.ErrorIs(t, err, ci.ErrInvalid)

	running := newFlow(t, planned("a"))
	_, err = running.rerun(ci.Rerun{})
	require.ErrorIs(t, err, ci.ErrConflict)
	running.end("a", ci.Success)
	_, err = running.rerun(ci.Rerun{FromFailed: true})
	require.ErrorIs(t, err, ci.ErrInvalid, "nothing has failed")
}

// The rerun of a rerun keeps what the first workflow did.
func TestWorkflow_RerunOfRerun(t *testing.T) {
	f := ended(t)
	n, err := f.rerun(ci.Rerun{FromFailed: true})
	require.NoError(t, err)
	n.end("b", ci.Failed)
	again, err := n.rerun(ci.Rerun{FromFailed: true})
	require.NoError(t, err)
	require.Equal(t, f.w.JobNamed("a").ID, again.w.JobNamed("a").ID)
	require.Equal(t, 3, again.w.JobNamed("b").Attempt)
	again.end("b", ci.Success)
	again.end("d", ci.Success)
	require.Equal(t, ci.Success, again.w.Status)
}

// While a workflow runs, what has failed gets a new attempt in place.
func TestWorkflow_Retry(t *testing.T) {
	f := newFlow(t, planned("a", "b: a", "c: b", "x"))
	require.ErrorIs(t, f.retry(ci.Rerun{FromFailed: true}), ci.ErrConflict, "nothing has failed yet")
	f.end("a", ci.Failed)
	require.Equal(t, ci.Failing, f.w.Status)
	old := f.w.JobNamed("a").ID
	require.NoError(t, f.retry(ci.Rerun{FromFailed: true}))
	require.Equal(t, "a=queued b=blocked c=blocked x=queued", f.statuses())
	require.Equal(t, ci.Running, f.w.Status)
	require.Len(t, f.w.Past, 1)
	require.Equal(t, old, f.w.Past[0].ID)
	require.Equal(t, ci.Failed, f.w.Attempt(old).Status)
	require.Nil(t, f.w.Job(old))

	require.ErrorIs(t, f.retry(ci.Rerun{Jobs: f.ids("a")}), ci.ErrConflict, "it runs")
	require.ErrorIs(t, f.retry(ci.Rerun{Jobs: []ci.JobID{old}}), ci.ErrNotFound, "it has been replaced")
	f.end("a", ci.Success)
	f.end("b", ci.Success)
	f.end("c", ci.Success)
	f.end("x", ci.Success)
	require.Equal(t, ci.Success, f.w.Status)
	require.ErrorIs(t, f.retry(ci.Rerun{Jobs: f.ids("a")}), ci.ErrConflict, "the workflow has ended")
}

// A retry that finds nothing to do changes nothing.
func TestWorkflow_RetryNothing(t *testing.T) {
	f := newFlow(t, planned("a", "b: a=failed", "x"))
	f.end("a", ci.Success)
	require.Equal(t, "a=success b=not_run x=queued", f.statuses())
	require.ErrorIs(t, f.retry(ci.Rerun{FromFailed: true}), ci.ErrConflict)
	require.ErrorIs(t, f.retry(ci.Rerun{Jobs: f.ids("b")}), ci.ErrConflict)
	require.Equal(t, "a=success b=not_run x=queued", f.statuses())
}

// A job is not taken away from under one that goes on with its result.
func TestP25_RetryUnderARunningJob(t *testing.T) {
	f := newFlow(t, planned("a", "b: a", "hold!approval: b"))
	f.end("a", ci.Success)
	require.ErrorIs(t, f.retry(ci.Rerun{Jobs: f.ids("a")}), ci.ErrConflict, "b is queued")
	require.NoError(t, f.report("b", 0, 1, ci.Running))
	require.ErrorIs(t, f.retry(ci.Rerun{Jobs: f.ids("a")}), ci.ErrConflict, "b runs")
	require.NoError(t, f.report("b", 0, 1, ci.Success))
	require.ErrorIs(t, f.retry(ci.Rerun{Jobs: f.ids("b")}), ci.ErrConflict, "a person looks at it")
}

// A late report about a replaced attempt has no effect on the new one.
func TestP4_LateReportOfAReplacedAttempt(t *testing.T) {
	f := newFlow(t, planned("a", "x"))
	f.end("a", ci.Failed)
	task := f.w.JobNamed("a").ID.Task(0)
	require.NoError(t, f.retry(ci.Rerun{FromFailed: true}))
	before := f.statuses()
	events, err := f.w.Report(ci.Report{Task: task, Epoch: 9, Status: ci.Success}, f.now)
	require.NoError(t, err)
	require.Empty(t, events)
	require.Equal(t, before, f.statuses())
}
