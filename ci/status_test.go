package ci_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var allStatuses = []ci.Status{
	ci.Blocked, ci.OnHold, ci.Queued, ci.Running, ci.Failing, ci.Success, ci.Failed, ci.Canceled,
	ci.TimedOut, ci.InfraFailed, ci.NotRun, ci.Unauthorized,
}

// Every pair of statuses is either in this table or forbidden.
func TestStatus_MayIsTheTable(t *testing.T) {
	allowed := map[ci.Status][]ci.Status{
		"blocked": {"on_hold", "queued", "success", "canceled", "not_run", "unauthorized"},
		"on_hold": {"success", "canceled", "not_run"},
		"queued":  {"running", "success", "failed", "canceled", "timedout", "infrastructure_fail", "unauthorized"},
		"running": {"queued", "success", "failed", "canceled", "timedout", "infrastructure_fail", "unauthorized"},
	}
	for _, from := range allStatuses {
		for _, to := range allStatuses {
			want := false
			for _, s := range allowed[from] {
				want = want || s == to
			}
			require.Equal(t, want, from.May(to), "from %s to %s", from, to)
		}
		require.False(t, from.May(""), "from %s to nothing", from)
		require.False(t, from.May("nonsense"), "from %s to nonsense", from)
		if from.Ended() {
			require.Empty(t, allowed[from], "%s is final", from)
		}
	}
}

func TestStatus_EndedAndBad(t *testing.T) {
	open := map[ci.Status]bool{"": true, "blocked": true, "on_hold": true, "queued": true, "running": true, "failing": true}
	bad := map[ci.Status]bool{"failed": true, "timedout": true, "infrastructure_fail": true, "unauthorized": true}
	for _, s := range append(allStatuses, "") {
		require.Equal(t, !open[s], s.Ended(), "%q ended", s)
		require.Equal(t, bad[s], s.Bad(), "%q bad", s)
	}
}

// What a requirement accepts, for every end of the required job.
func TestP25_RequirementStatuses(t *testing.T) {
	ends := []ci.Status{ci.Success, ci.Failed, ci.Canceled, ci.TimedOut, ci.InfraFailed}
	tests := []struct {
		requires string
		starts   []ci.Status
	}{
		{"a", []ci.Status{ci.Success}},
		{"a=success", []ci.Status{ci.Success}},
		{"a=failed", []ci.Status{ci.Failed, ci.TimedOut, ci.InfraFailed}},
		{"a=canceled", []ci.Status{ci.Canceled}},
		{"a=success,failed", []ci.Status{ci.Success, ci.Failed, ci.TimedOut, ci.InfraFailed}},
		{"a=not_run", nil},
		{"a=success,failed,canceled,unauthorized,not_run", ends},
	}
	for _, tt := range tests {
		for _, end := range ends {
			f := newFlow(t, planned("a", "b: "+tt.requires))
			if end == ci.Canceled {
				require.NoError(t, f.cancelJob("a", alice))
			} else {
				f.end("a", end)
			}
			want := ci.NotRun
			for _, s := range tt.starts {
				if s == end {
					want = ci.Queued
				}
			}
			require.Equal(t, want, f.w.JobNamed("b").Status, "b requires %s, which ended as %s", tt.requires, end)
		}
	}
}

// A job that could not run is an end that others can wait for.
func TestP25_RequireNotRun(t *testing.T) {
	f := newFlow(t, planned("a", "b: a", "c: b=not_run", "d: b=not_run,success c"))
	f.end("a", ci.Failed)
	require.Equal(t, "a=failed b=not_run c=queued d=blocked", f.statuses())
	f.end("c", ci.Success)
	f.end("d", ci.Success)
	require.Equal(t, ci.Failed, f.w.Status)
}
