// Package citest says, as tests, what package ci asks of a database: suites
// for [ci.Store], [ci.Records] and the scheduler's backlog, to be run by every
// implementation.
//
//	func TestStore(t *testing.T) {
//		citest.TestStore(t, func(t *testing.T) ci.Store { return memdb.New() })
//	}
//
// A suite is a list of clauses. Each is a sub-test with a name and a sentence,
// which is logged when the clause is broken. Clauses open databases of their
// own, use no sleeps, and assert no speed.
package citest

import (
	"context"
	"iter"
	"testing"

	"github.com/rondo-ci/rondo/ci"
)

// A Backlog is what a scheduler asks of a database; scheduler.Backlog, in
// words that this package may use.
type Backlog interface {
	Cursor(ctx context.Context) (uint64, error)
	Put(ctx context.Context, cursor uint64, tickets ...ci.Ticket) error
	Remove(ctx context.Context, tasks ...ci.TaskID) error
	Open(ctx context.Context) iter.Seq2[ci.Ticket, error]
}

// A clause is one sentence of a contract and how to check it.
type clause[T any] struct {
	name  string
	says  string
	check func(t *testing.T, open func(t *testing.T) T)
}

// run checks the clauses, each as a sub-test.
func run[T any](t *testing.T, open func(t *testing.T) T, clauses []clause[T]) {
	t.Helper()
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Log("the contract says: " + c.says)
				}
			})
			c.check(t, open)
		})
	}
}

// TestStore checks a [ci.Store]. open returns an empty one and sees to it that
// it is closed when its test ends.
func TestStore(t *testing.T, open func(t *testing.T) ci.Store) {
	t.Run("projects", func(t *testing.T) { run(t, open, projectClauses) })
	t.Run("pipelines", func(t *testing.T) { run(t, open, pipelineClauses) })
	t.Run("listing", func(t *testing.T) { run(t, open, listingClauses) })
	t.Run("start", func(t *testing.T) { run(t, open, startClauses) })
	t.Run("workflows", func(t *testing.T) { run(t, open, workflowClauses) })
	t.Run("jobs", func(t *testing.T) { run(t, open, jobClauses) })
	t.Run("events", func(t *testing.T) { run(t, open, eventClauses) })
	t.Run("changes", func(t *testing.T) { run(t, open, changeClauses) })
}

// TestRecords checks a [ci.Records] together with the store and the backlog of
// the same database: leases are those of the backlog's tickets, and timings
// follow the jobs of the store.
func TestRecords(t *testing.T, open func(t *testing.T) (ci.Store, ci.Records, Backlog)) {
	opened := func(t *testing.T) database {
		s, r, b := open(t)
		return database{s, r, b}
	}
	t.Run("steps", func(t *testing.T) { run(t, opened, stepClauses) })
	t.Run("tests", func(t *testing.T) { run(t, opened, testClauses) })
}

// A database is all that one keeps.
type database struct {
	store   ci.Store
	records ci.Records
	backlog Backlog
}

// TestBacklog checks a [Backlog]. open returns an empty one and sees to it
// that it is closed when its test ends.
func TestBacklog(t *testing.T, open func(t *testing.T) Backlog) {
	run(t, open, backlogClauses)
}
