package citest

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// tested starts a workflow on the branch, stores a test of that name for its
// first job, and ends the job so.
func (db database) tested(t *testing.T, p ci.Project, branch, test string, status ci.Status) ci.Workflow {
	t.Helper()
	w := start(t, db.store, p, branch)
	l := db.lease(t, w, w.Jobs[0], 0, 1)
	if test != "" {
		require.NoError(t, db.records.PutTests(t.Context(), l, []ci.Test{{Name: test, Result: "success", Seconds: 0.5}}))
	}
	finish(t, db.store, w, "build", status)
	return w
}

var testClauses = []clause[database]{
	{
		"failures first",
		"Tests lists the results of a job over all its tasks: failures and errors first, then in order of storing.",
		func(t *testing.T, open func(*testing.T) database) {
			db := open(t)
			w := start(t, db.store, project(t, db.store, "shop"), "main")
			j := *w.JobNamed("test")
			l1, l0 := db.lease(t, w, j, 1, 1), db.lease(t, w, j, 0, 1)
			test := func(node int, name, result string) ci.Test {
				return ci.Test{
					Name: name, Classname: "c", File: "f.go", Source: "s", Result: result, Message: "m\n<&>",
					Seconds: 0.25, Node: node,
				}
			}
			require.NoError(t, db.records.PutTests(t.Context(), l1, []ci.Test{test(1, "a", "success"), test(1, "b", "failure")}))
			require.NoError(t, db.records.PutTests(t.Context(), l0, []ci.Test{test(0, "c", "skipped"), test(0, "d", "error")}))
			got, err := db.records.Tests(t.Context(), j.ID)
			require.NoError(t, err)
			same(t, []ci.Test{test(1, "b", "failure"), test(0, "d", "error"), test(1, "a", "success"), test(0, "c", "skipped")}, got)
			none, err := db.records.Tests(t.Context(), "x-1")
			require.NoError(t, err)
			require.Empty(t, none)
		},
	},
	{
		"a task's results are replaced",
		"PutTests replaces the test results of the lease's task and leaves those of others; Node is the task's index, a run time that is no number is 0.",
		func(t *testing.T, open func(*testing.T) database) {
			db := open(t)
			w := start(t, db.store, project(t, db.store, "shop"), "main")
			j := *w.JobNamed("test")
			l0, l1 := db.lease(t, w, j, 0, 1), db.lease(t, w, j, 1, 1)
			put := func(l ci.Lease, tests ...ci.Test) { require.NoError(t, db.records.PutTests(t.Context(), l, tests)) }
			put(l0, ci.Test{Name: "a"})
			put(l1, ci.Test{Name: "b", Node: 9, Seconds: math.NaN()}, ci.Test{Name: "c", Seconds: math.Inf(1)})
			put(l0)
			put(l0, ci.Test{Name: "d"})
			got, err := db.records.Tests(t.Context(), j.ID)
			require.NoError(t, err)
			same(t, []ci.Test{{Name: "b", Node: 1}, {Name: "c", Node: 1}, {Name: "d"}}, got)
			put(l0)
			put(l1)
			got, err = db.records.Tests(t.Context(), j.ID)
			require.NoError(t, err)
			require.Empty(t, got)
		},
	},
	{
		"many results",
		"Tens of thousands of results are kept, in order.",
		func(t *testing.T, open func(*testing.T) database) {
			db, w, l := one(t, open)
			var want []ci.Test
			for i := range 20_000 {
				want = append(want, ci.Test{Name: fmt.Sprintf("test %d", i), Classname: "pkg/some", Result: "success", Seconds: float64(i) / 8})
			}
			require.NoError(t, db.records.PutTests(t.Context(), l, want))
			got, err := db.records.Tests(t.Context(), w.Jobs[0].ID)
			require.NoError(t, err)
			require.Equal(t, want, got)
		},
	},
	{
		"timings of the branch, then of any",
		"Timings returns the results of the newest successful job of that name that has any: on the branch, else on any branch. None is no error.",
		func(t *testing.T, open func(*testing.T) database) {
			db := open(t)
			a, b := project(t, db.store, "a"), project(t, db.store, "b")
			timings := func(branch string) string {
				t.Helper()
				tests, err := db.records.Timings(t.Context(), a.ID, "build", branch)
				require.NoError(t, err)
				if len(tests) == 0 {
					return ""
				}
				return tests[0].Name
			}
			require.Equal(t, "", timings("main"))
			db.tested(t, b, "main", "of another project", ci.Success)
			db.tested(t, a, "main", "failed", ci.Failed)
			require.Equal(t, "", timings("main"))
			db.tested(t, a, "dev", "dev 1", ci.Success)
			require.Equal(t, "dev 1", timings("main"))
			db.tested(t, a, "main", "main 1", ci.Success)
			db.tested(t, a, "dev", "dev 2", ci.Success)
			db.tested(t, a, "main", "", ci.Success) // newer, but has none
			require.Equal(t, "main 1", timings("main"))
			require.Equal(t, "dev 2", timings("dev"))
			require.Equal(t, "dev 2", timings("new"))
			require.Equal(t, "dev 2", timings(""))
			none, err := db.records.Timings(t.Context(), a.ID, "no such job", "main")
			require.NoError(t, err)
			require.Empty(t, none)
		},
	},
	{
		"timings follow the results",
		"A job whose results were taken back has none any more; a job that a rerun kept counts once, as its own.",
		func(t *testing.T, open func(*testing.T) database) {
			db := open(t)
			p := project(t, db.store, "shop")
			w := db.tested(t, p, "main", "a", ci.Success)
			finish(t, db.store, load(t, db.store, w.ID), "test", ci.Failed)
			rerun(t, db.store, load(t, db.store, w.ID), ci.Rerun{FromFailed: true})
			got, err := db.records.Timings(t.Context(), p.ID, "build", "main")
			require.NoError(t, err)
			require.Len(t, got, 1)
			l := ci.Lease{Task: w.Jobs[0].ID.Task(0), Epoch: 1, Worker: "w1"}
			require.NoError(t, db.records.PutTests(t.Context(), l, nil))
			got, err = db.records.Timings(t.Context(), p.ID, "build", "main")
			require.NoError(t, err)
			require.Empty(t, got)
		},
	},
}
