package citest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// ticket is one for slice 0 of a job.
func ticket(job ci.JobID, state ci.TicketState, epoch int64) ci.Ticket {
	return ci.Ticket{
		Task: ci.Task{
			Job: job, Name: "build", Number: 3, Workflow: "w", Pipeline: "p", Project: "r", Org: "acme", Total: 2,
			Class: "small", Executor: ci.ExecutorDocker, Queued: now(),
		}.Slice(0),
		State: state, Epoch: epoch,
	}
}

var backlogClauses = []clause[Backlog]{
	{
		"tickets come back as they were put",
		"Put writes tickets by the identity of their task; Open yields all.",
		func(t *testing.T, open func(*testing.T) Backlog) {
			b := open(t)
			require.Empty(t, all(t, b.Open(t.Context())))
			w, l := ticket("a", ci.TicketWaiting, 0), ticket("b", ci.TicketLeased, 3)
			l.Node, l.Worker, l.Canceled = "n1", "w1", true
			l.Expires = now().In(time.FixedZone("far", 3600))
			require.NoError(t, b.Put(t.Context(), 0, l, w))
			l.Expires = l.Expires.UTC()
			same(t, []ci.Ticket{w, l}, all(t, b.Open(t.Context())))
			w.State, w.Epoch, w.Node = ci.TicketPlaced, 1, "n2"
			require.NoError(t, b.Put(t.Context(), 0, w))
			same(t, []ci.Ticket{w, l}, all(t, b.Open(t.Context())))
		},
	},
	{
		"the cursor",
		"Put writes the cursor with the tickets; 0 leaves it as it is.",
		func(t *testing.T, open func(*testing.T) Backlog) {
			b := open(t)
			cursor := func() uint64 {
				t.Helper()
				c, err := b.Cursor(t.Context())
				require.NoError(t, err)
				return c
			}
			require.Zero(t, cursor())
			require.NoError(t, b.Put(t.Context(), 7, ticket("a", ci.TicketWaiting, 0)))
			require.Equal(t, uint64(7), cursor())
			require.NoError(t, b.Put(t.Context(), 0, ticket("b", ci.TicketWaiting, 0)))
			require.Equal(t, uint64(7), cursor())
			require.NoError(t, b.Put(t.Context(), 9))
			require.Equal(t, uint64(9), cursor())
			require.NoError(t, b.Put(t.Context(), 0))
			require.Equal(t, uint64(9), cursor())
		},
	},
	{
		"P4 epochs never go back",
		"A ticket whose epoch is lower than the stored one is ErrConflict, and nothing of the call is written.",
		func(t *testing.T, open func(*testing.T) Backlog) {
			b := open(t)
			known := ticket("a", ci.TicketLeased, 2)
			require.NoError(t, b.Put(t.Context(), 1, known))
			err := b.Put(t.Context(), 5, ticket("b", ci.TicketWaiting, 0), ticket("a", ci.TicketLeased, 1))
			require.ErrorIs(t, err, ci.ErrConflict)
			require.ErrorContains(t, err, "a.0")
			same(t, []ci.Ticket{known}, all(t, b.Open(t.Context())))
			cursor, err := b.Cursor(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(1), cursor)
			err = b.Put(t.Context(), 0, ticket("c", ci.TicketLeased, 2), ticket("c", ci.TicketLeased, 1))
			require.ErrorIs(t, err, ci.ErrConflict, "also within a call")
			known.State = ci.TicketWaiting
			require.NoError(t, b.Put(t.Context(), 0, known), "the same epoch may be written again")
		},
	},
	{
		"removing",
		"Remove deletes tickets; one that is missing is no error, and a task may be put anew.",
		func(t *testing.T, open func(*testing.T) Backlog) {
			b := open(t)
			a, c := ticket("a", ci.TicketLeased, 5), ticket("c", ci.TicketWaiting, 0)
			require.NoError(t, b.Put(t.Context(), 0, a, ticket("b", ci.TicketWaiting, 0), c))
			require.NoError(t, b.Remove(t.Context(), "b.0", "x.0"))
			same(t, []ci.Ticket{a, c}, all(t, b.Open(t.Context())))
			require.NoError(t, b.Remove(t.Context()))
			require.NoError(t, b.Remove(t.Context(), "a.0", "a.0"))
			same(t, []ci.Ticket{c}, all(t, b.Open(t.Context())))
			require.NoError(t, b.Put(t.Context(), 0, ticket("a", ci.TicketWaiting, 0)))
		},
	},
	{
		"many tickets",
		"Open yields every ticket once, and its consumer may write meanwhile.",
		func(t *testing.T, open func(*testing.T) Backlog) {
			b := open(t)
			var many []ci.Ticket
			for i := range 601 {
				many = append(many, ticket(ci.JobID(fmt.Sprintf("job-%03d", i)), ci.TicketWaiting, 0))
			}
			require.NoError(t, b.Put(t.Context(), 1, many...))
			n := 0
			for got, err := range b.Open(t.Context()) {
				require.NoError(t, err)
				same(t, many[n], got)
				require.NoError(t, b.Remove(t.Context(), got.Task.ID))
				n++
			}
			require.Equal(t, len(many), n)
			require.Empty(t, all(t, b.Open(t.Context())))
		},
	},
	{
		"what is refused",
		"A ticket without a task is ErrInvalid; an ended context is its error; neither writes.",
		func(t *testing.T, open func(*testing.T) Backlog) {
			b := open(t)
			require.ErrorIs(t, b.Put(t.Context(), 3, ticket("a", ci.TicketWaiting, 0), ci.Ticket{}), ci.ErrInvalid)
			over, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, b.Put(over, 3, ticket("a", ci.TicketWaiting, 0)), context.Canceled)
			require.ErrorIs(t, b.Remove(over, "a.0"), context.Canceled)
			require.ErrorIs(t, failure(b.Open(over)), context.Canceled)
			require.Empty(t, all(t, b.Open(t.Context())))
		},
	},
}
