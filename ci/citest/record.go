package citest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// lease gives slice index of the job to a worker, as a scheduler does.
func (db database) lease(t *testing.T, w ci.Workflow, j ci.Job, index int, epoch int64) ci.Lease {
	t.Helper()
	task := ci.Task{
		Job: j.ID, Name: j.Name, Number: j.Number, Workflow: w.ID, Pipeline: w.Pipeline, Project: w.Project,
		Org: w.Org, Total: max(j.Parallelism, 1), Queued: now(),
	}.Slice(index)
	ticket := ci.Ticket{Task: task, State: ci.TicketLeased, Epoch: epoch, Node: "n1", Worker: "w1", Expires: now()}
	require.NoError(t, db.backlog.Put(t.Context(), 0, ticket))
	return ci.Lease{Task: task.ID, Epoch: epoch, Worker: "w1", TTL: time.Minute}
}

// running is a step that began, ended the same when it succeeded.
func running(index int) ci.Step {
	return ci.Step{Index: index, Kind: ci.StepRun, Name: "make", Command: "make <x>", Status: ci.Running, Started: now()}
}

func ended(s ci.Step, status ci.Status) ci.Step {
	s.Status, s.ExitCode, s.Stopped, s.Bytes, s.SHA256 = status, 1, s.Started.Add(time.Second), 12, "ab"
	return s
}

// one opens a database with a started workflow and a lease on its first job.
func one(t *testing.T, open func(*testing.T) database) (database, ci.Workflow, ci.Lease) {
	t.Helper()
	db := open(t)
	w := start(t, db.store, project(t, db.store, "shop"), "main")
	return db, w, db.lease(t, w, w.Jobs[0], 0, 1)
}

// stepEvents returns the events about steps.
func stepEvents(t *testing.T, db database) []ci.Event {
	t.Helper()
	var some []ci.Event
	for _, e := range all(t, db.store.Events(t.Context(), 0)) {
		if e.Step != nil {
			some = append(some, e)
		}
	}
	return some
}

var stepClauses = []clause[database]{
	{
		"steps by index",
		"PutStep writes a step by its index; Steps lists them by index; epoch 0 is the newest hand-out.",
		func(t *testing.T, open func(*testing.T) database) {
			db, w, l := one(t, open)
			s2, s0 := running(2), running(0)
			for _, s := range []ci.Step{s2, s0, ended(s0, ci.Success)} {
				require.NoError(t, db.records.PutStep(t.Context(), l, s))
			}
			want := []ci.Step{ended(s0, ci.Success), s2}
			for _, epoch := range []int64{0, 1} {
				got, err := db.records.Steps(t.Context(), l.Task, epoch)
				require.NoError(t, err)
				same(t, want, got)
			}
			next := db.lease(t, w, w.Jobs[0], 0, 2)
			require.NoError(t, db.records.PutStep(t.Context(), next, s2))
			got, err := db.records.Steps(t.Context(), l.Task, 0)
			require.NoError(t, err)
			same(t, []ci.Step{s2}, got)
			got, err = db.records.Steps(t.Context(), l.Task, 1)
			require.NoError(t, err)
			same(t, want, got)
		},
	},
	{
		"no steps are none",
		"A task without steps yields none and no error.",
		func(t *testing.T, open func(*testing.T) database) {
			db := open(t)
			for _, epoch := range []int64{0, 1} {
				got, err := db.records.Steps(t.Context(), "x.0", epoch)
				require.NoError(t, err)
				require.Empty(t, got)
			}
		},
	},
	{
		"a step tells that it started and ended",
		"PutStep writes the event in the same transaction, with the fields of the ticket's task; the same twice makes no second event.",
		func(t *testing.T, open func(*testing.T) database) {
			db := open(t)
			w := start(t, db.store, project(t, db.store, "shop"), "main")
			j := *w.JobNamed("test")
			l := db.lease(t, w, j, 1, 4)
			s := running(3)
			for _, put := range []ci.Step{s, s, ended(s, ci.Failed), ended(s, ci.Failed)} {
				require.NoError(t, db.records.PutStep(t.Context(), l, put))
			}
			last, err := db.store.LastEvent(t.Context())
			require.NoError(t, err)
			want := ci.Event{
				Seq: last - 1, Time: s.Started, Kind: ci.StepStarted, Project: w.Project, Pipeline: w.Pipeline,
				Workflow: w.ID, Job: j.ID, Name: j.Name, Number: j.Number, Status: ci.Running, Node: 1, Step: &s,
			}
			end := want
			end.Seq, end.Time, end.Kind, end.Status = last, ended(s, ci.Failed).Stopped, ci.StepEnded, ci.Failed
			end.Step = new(ended(s, ci.Failed))
			same(t, []ci.Event{want, end}, stepEvents(t, db))
			require.NoError(t, db.store.Wait(t.Context(), last-1))
		},
	},
	{
		"a step ends once",
		"That a step runs, told again after it ended, is late and changes nothing. Begun anew it runs again.",
		func(t *testing.T, open func(*testing.T) database) {
			db, _, l := one(t, open)
			s := running(0)
			again := s
			again.Started = s.Started.Add(time.Minute)
			for _, put := range []ci.Step{s, ended(s, ci.Success), s} {
				require.NoError(t, db.records.PutStep(t.Context(), l, put))
			}
			got, err := db.records.Steps(t.Context(), l.Task, 0)
			require.NoError(t, err)
			same(t, []ci.Step{ended(s, ci.Success)}, got)
			require.Len(t, stepEvents(t, db), 2)
			require.NoError(t, db.records.PutStep(t.Context(), l, again))
			require.Len(t, stepEvents(t, db), 3)
			require.ErrorIs(t, db.records.PutStep(t.Context(), l, running(-1)), ci.ErrInvalid)
		},
	},
	{
		"P4 a stale lease writes nothing",
		"Writes are refused with ErrConflict unless their lease is the current one: leased, same epoch, same worker.",
		func(t *testing.T, open func(*testing.T) database) {
			db, w, l := one(t, open)
			refused := func(why string, l ci.Lease) {
				t.Helper()
				require.ErrorIs(t, db.records.PutStep(t.Context(), l, running(0)), ci.ErrConflict, why)
				require.ErrorIs(t, db.records.PutTests(t.Context(), l, []ci.Test{{Name: "a"}}), ci.ErrConflict, why)
			}
			older, newer, other, missing := l, l, l, l
			older.Epoch, newer.Epoch, other.Worker, missing.Task = 0, 2, "w2", w.Jobs[0].ID.Task(1)
			refused("older epoch", older)
			refused("newer epoch", newer)
			refused("other worker", other)
			refused("no ticket", missing)
			ticket := all(t, db.backlog.Open(t.Context()))[0]
			for _, state := range []ci.TicketState{ci.TicketPlaced, ci.TicketWaiting} {
				ticket.State = state
				require.NoError(t, db.backlog.Put(t.Context(), 0, ticket))
				refused(string(state), l)
			}
			require.NoError(t, db.backlog.Remove(t.Context(), l.Task))
			refused("removed", l)
			got, err := db.records.Steps(t.Context(), l.Task, 0)
			require.NoError(t, err)
			require.Empty(t, got)
			require.Empty(t, stepEvents(t, db))
			tests, err := db.records.Tests(t.Context(), w.Jobs[0].ID)
			require.NoError(t, err)
			require.Empty(t, tests)
		},
	},
}
