package schedulertest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// TestBacklog is what every [scheduler.Backlog] must do. open returns an empty
// one.
func TestBacklog(t *testing.T, open func(t *testing.T) scheduler.Backlog) {
	for name, test := range map[string]func(*testing.T, scheduler.Backlog){
		"RoundTrip": testRoundTrip, "EpochsNeverGoBack": testEpochs,
		"Remove": testRemove, "ManyAtOnce": testMany,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func ticket(n int) ci.Ticket {
	job := ci.JobID(fmt.Sprintf("00000000-0000-7000-8000-%012d", n))
	return ci.Ticket{Task: ci.Task{Job: job, Name: "build", Project: "p", Org: "o", Total: 1}.Slice(0), State: ci.TicketWaiting}
}

func stored(t *testing.T, b scheduler.Backlog) map[ci.TaskID]ci.Ticket {
	t.Helper()
	all := make(map[ci.TaskID]ci.Ticket)
	for got, err := range b.Open(t.Context()) {
		require.NoError(t, err)
		require.NotContains(t, all, got.Task.ID)
		all[got.Task.ID] = got
	}
	return all
}

func testRoundTrip(t *testing.T, b scheduler.Backlog) {
	cursor, err := b.Cursor(t.Context())
	require.NoError(t, err)
	require.Zero(t, cursor)
	require.Empty(t, stored(t, b))

	when := time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)
	full := ticket(1)
	full.Task.Number, full.Task.Workflow, full.Task.Pipeline = 7, "w", "pipe"
	full.Task.Class, full.Task.Executor, full.Task.Queued = "large", ci.ExecutorMachine, when
	full.State, full.Epoch, full.Node, full.Worker = ci.TicketLeased, 3, "n1", "agent 7"
	full.Expires, full.Canceled = when.Add(time.Hour), true
	require.NoError(t, b.Put(t.Context(), 41, full, ticket(2)))
	require.NoError(t, b.Put(t.Context(), 0, ticket(3)))
	cursor, err = b.Cursor(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(41), cursor, "0 leaves the cursor")
	all := stored(t, b)
	require.Len(t, all, 3)
	require.Empty(t, cmp.Diff(full, all[full.Task.ID]))

	require.NoError(t, b.Put(t.Context(), 42))
	cursor, err = b.Cursor(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(42), cursor)
	require.Len(t, stored(t, b), 3)
}

func testEpochs(t *testing.T, b scheduler.Backlog) {
	one, other := ticket(1), ticket(2)
	one.Epoch = 5
	require.NoError(t, b.Put(t.Context(), 1, one))
	require.NoError(t, b.Put(t.Context(), 2, one), "the same again")
	old := one
	old.Epoch = 4
	require.ErrorIs(t, b.Put(t.Context(), 3, other, old), ci.ErrConflict)
	all := stored(t, b)
	require.Len(t, all, 1, "nothing is written")
	require.Equal(t, int64(5), all[one.Task.ID].Epoch)
	cursor, err := b.Cursor(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(2), cursor)
}

func testRemove(t *testing.T, b scheduler.Backlog) {
	require.NoError(t, b.Remove(t.Context(), "nobody.0"))
	require.NoError(t, b.Remove(t.Context()))
	require.NoError(t, b.Put(t.Context(), 1, ticket(1), ticket(2), ticket(3)))
	require.NoError(t, b.Remove(t.Context(), ticket(1).Task.ID, "nobody.0", ticket(3).Task.ID))
	require.Len(t, stored(t, b), 1)
	require.NoError(t, b.Remove(t.Context(), ticket(1).Task.ID))
}

func testMany(t *testing.T, b scheduler.Backlog) {
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			var tickets []ci.Ticket
			for i := range 250 {
				tickets = append(tickets, ticket(w*250+i))
			}
			if err := b.Put(t.Context(), 0, tickets...); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Len(t, stored(t, b), 1000)
}
