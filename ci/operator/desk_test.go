package operator_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/operator"
)

// A house is a queue, machines and records of a test.
type house struct {
	usage, run []ci.Ticket
	promoted   map[string]int
	canceled   []ci.JobID
	nodes      []ci.Node
	acts       []ci.Act
	trace      ci.Trace
	known      bool
	adopted    []ci.TaskID
	flow       ci.Workflow
	cursor     uint64
}

func (h *house) Explain(context.Context, ci.TaskID) (ci.Reason, error) {
	if !h.known {
		return ci.Reason{}, ci.ErrNotFound
	}
	return ci.Reason{Code: "capacity", Text: "All are full.", Position: 2}, nil
}
func (h *house) Trace(ci.TaskID) (ci.Trace, bool) { return h.trace, h.known }
func (h *house) Traces(int) []ci.Trace            { return []ci.Trace{h.trace} }
func (h *house) State() ci.QueueState {
	return ci.QueueState{Ready: true, Cursor: h.cursor, Nodes: h.nodes, Advice: "2 more nodes of 8 CPUs"}
}
func (h *house) Promote(org string, n int) int { h.promoted[org] += n; return n }
func (h *house) Adopt(t ci.Task) bool          { h.adopted = append(h.adopted, t.ID); return true }

func (h *house) DrainNode(_ context.Context, node string, on bool, _ time.Duration) error {
	for i := range h.nodes {
		if h.nodes[i].Name == node {
			h.nodes[i].Drain = on
		}
	}
	return nil
}

func (h *house) AgentOutput(context.Context, ci.Task, int64, bool) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("trying\n")), nil
}

func (h *house) Project(_ context.Context, id ci.ProjectID) (ci.Project, error) {
	return ci.Project{ID: id, Slug: "gh/acme/" + string(id), Org: "acme", Repo: string(id)}, nil
}
func (h *house) Workflow(context.Context, ci.WorkflowID) (ci.Workflow, error) { return h.flow, nil }
func (h *house) JobWorkflow(_ context.Context, job ci.JobID) (ci.WorkflowID, error) {
	if h.flow.Job(job) == nil {
		return "", ci.ErrNotFound
	}
	return "w", nil
}
func (h *house) Steps(context.Context, ci.TaskID, int64) ([]ci.Step, error) {
	return nil, ci.ErrNotFound
}
func (h *house) LastEvent(context.Context) (uint64, error) { return 9, nil }

var (
	ops    = ci.Actor{Kind: ci.ActorUser, Login: "ops"}
	nobody = ci.Actor{Kind: ci.ActorUser, Login: "ada"}
)

func newHouse(usage, run int) (*house, *operator.Desk) {
	h := &house{promoted: map[string]int{}, cursor: 9, nodes: []ci.Node{{ID: "ec2727c5", Name: "n1", State: "ready"}, {ID: "ec99", Name: "n2", State: "down"}}}
	ticket := func(i int) ci.Ticket {
		org := []string{"acme", "till"}[i%2]
		return ci.Ticket{Task: ci.Task{
			Job: ci.JobID(fmt.Sprint("job", i)), Workflow: "w", Project: "shop", Org: org, Number: int64(i + 1), Queued: time.Now().Add(-time.Duration(i) * time.Minute),
		}.Slice(0)}
	}
	for i := range usage {
		h.usage = append(h.usage, ticket(i))
	}
	for i := range run {
		h.run = append(h.run, ticket(i))
	}
	desk := operator.New(h, h, h, operator.Config{
		Line: func(usage bool, n int) (first, last []ci.Ticket, total int) {
			all := h.run
			if usage {
				all = h.usage
			}
			first = all[:min(n, len(all))]
			return first, all[max(len(first), len(all)-n):], len(all)
		},
		CancelJob: func(_ context.Context, _ ci.WorkflowID, job ci.JobID, _ ci.Actor) error {
			h.canceled = append(h.canceled, job)
			for i, t := range h.run {
				if t.Task.Job == job {
					h.run = append(h.run[:i:i], h.run[i+1:]...)
					break
				}
			}
			return nil
		},
		Operator: func(_ context.Context, by ci.Actor) error {
			if by != ops {
				return ci.ErrDenied
			}
			return nil
		},
		May: func(_ context.Context, by ci.Actor, p ci.Project, _ bool) error {
			if by != ops && p.ID != "shop" {
				return ci.ErrNotFound
			}
			return nil
		},
		Record: func(_ context.Context, act ci.Act, do func() error) error { h.acts = append(h.acts, act); return do() },
		JobURL: func(p ci.Project, n int64) string { return fmt.Sprint("https://ci/", p.Slug, "/", n) },
	})
	return h, desk
}

func TestQUE02_EndsOfTheQueueAsURLs(t *testing.T) {
	h, desk := newHouse(8, 2)
	part, err := desk.Part(t.Context(), "usage", 3, ops)
	require.NoError(t, err)
	require.Equal(t, 8, part.Total, "QUE-01")
	var urls []string
	for _, p := range append(part.First, part.Last...) {
		urls = append(urls, fmt.Sprint(p.Position, " ", p.BuildURL))
	}
	require.Equal(t, []string{
		"1 https://ci/gh/acme/shop/1", "2 https://ci/gh/acme/shop/2", "3 https://ci/gh/acme/shop/3",
		"6 https://ci/gh/acme/shop/6", "7 https://ci/gh/acme/shop/7", "8 https://ci/gh/acme/shop/8",
	}, urls)
	part, _ = desk.Part(t.Context(), "run", 3, ops) // QUE-04
	require.Len(t, part.First, 2)
	require.Empty(t, part.Last)
	h.usage[0].Task.Project = "secret"
	part, _ = desk.Part(t.Context(), "usage", 1, nobody)
	require.Equal(t, ci.QueuePlace{Position: 1}, part.First[0], "only that there is one")
	_, err = desk.Part(t.Context(), "other", 1, ops)
	require.ErrorIs(t, err, ci.ErrInvalid)
}

func TestQUE03_PromoteInBatches(t *testing.T) {
	h, desk := newHouse(250, 0)
	_, err := desk.Promote(t.Context(), "", 101, false, ops)
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorContains(t, err, "at most 100 at once is safe")
	move, err := desk.Promote(t.Context(), "", 100, false, ops)
	require.NoError(t, err)
	require.Equal(t, ci.QueueMove{Moved: 100, Left: 150}, move)
	require.Equal(t, map[string]int{"acme": 50, "till": 50}, h.promoted, "in the order of the queue")
	require.Equal(t, "rondo.queue.promote", h.acts[0].Action)
	_, err = desk.Promote(t.Context(), "", 101, true, ops)
	require.NoError(t, err)
	_, err = desk.Promote(t.Context(), "", 1, false, nobody)
	require.ErrorIs(t, err, ci.ErrDenied)
	h, desk = newHouse(40, 0)
	_, err = desk.Promote(t.Context(), "", 40, false, ops)
	require.ErrorContains(t, err, "that is the entire usage queue")
	_, err = desk.Promote(t.Context(), "acme", 19, false, ops)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"acme": 19}, h.promoted)
}

func TestQUE05_CancelInBatches(t *testing.T) {
	h, desk := newHouse(0, 250)
	batches := 0
	for left := 1; left > 0; batches++ {
		move, err := desk.CancelWaiting(t.Context(), 100, 0, ops)
		require.NoError(t, err)
		left = move.Left
	}
	require.Equal(t, 3, batches)
	require.Len(t, h.canceled, 250)
	_, err := desk.CancelWaiting(t.Context(), 101, 0, ops)
	require.ErrorIs(t, err, ci.ErrInvalid)
	_, desk = newHouse(0, 20)
	move, err := desk.CancelWaiting(t.Context(), 100, 15*time.Minute+time.Second, ops)
	require.NoError(t, err)
	require.Equal(t, 4, move.Moved, "only what has waited longer")
}

func TestSCH14_DrainTakesAnOperatorAndIsOnRecord(t *testing.T) {
	h, desk := newHouse(0, 0)
	_, err := desk.DrainNode(t.Context(), "n1", true, 0, nobody)
	require.ErrorIs(t, err, ci.ErrDenied)
	require.Empty(t, h.acts)
	n, err := desk.DrainNode(t.Context(), "ec27", true, time.Hour, ops)
	require.NoError(t, err)
	require.True(t, n.Drain)
	require.Equal(t, "rondo.node.drain", h.acts[0].Action)
	require.Equal(t, "1h0m0s", h.acts[0].Target["deadline"])
	n, err = desk.DrainNode(t.Context(), "n1", false, 0, ops)
	require.NoError(t, err)
	require.False(t, n.Drain)
	_, err = desk.DrainNode(t.Context(), "ec", true, 0, ops)
	require.ErrorIs(t, err, ci.ErrConflict, "two begin so")
	_, err = desk.DrainNode(t.Context(), "n9", true, 0, ops)
	require.ErrorIs(t, err, ci.ErrNotFound)
}

func TestTRB09_LostTasksAreFoundAgain(t *testing.T) {
	h, desk := newHouse(0, 0)
	at := time.Now().Add(-time.Minute)
	h.flow = ci.Workflow{ID: "w", Project: "shop", Org: "acme", Jobs: []ci.Job{{
		ID: "j", Name: "build", Number: 7, Status: ci.Queued, Queued: at, Tasks: []ci.TaskState{{Status: ci.Queued}, {Status: ci.Queued}},
	}}}
	x, err := desk.Explain(t.Context(), "j.1", ops)
	require.NoError(t, err)
	require.Equal(t, operator.LostBetweenDispatchers, x.Diagnosis.Code)
	require.Equal(t, []ci.TaskID{"j.1"}, h.adopted)
	h.cursor = 3
	x, err = desk.Explain(t.Context(), "j.0", ops)
	require.NoError(t, err)
	require.Equal(t, operator.DispatcherDown, x.Diagnosis.Code)
	require.Len(t, h.adopted, 1, "its event will come")
	h.cursor, h.known = 9, true
	h.trace = ci.Trace{State: "pending", Queued: at, Runnable: at}
	x, err = desk.Explain(t.Context(), "j.0", ops)
	require.NoError(t, err)
	require.Equal(t, operator.CapacityExhausted, x.Diagnosis.Code, "SCH-17")
	require.Equal(t, "2 more nodes of 8 CPUs", x.Advice)
	require.Equal(t, 2, x.Why.Position)
	require.Equal(t, "https://ci/gh/acme/shop/7", x.BuildURL)
	_, err = desk.Explain(t.Context(), "j.9", ops)
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = desk.Explain(t.Context(), "what", ops)
	require.ErrorIs(t, err, ci.ErrInvalid)
	h.flow.Project = "secret"
	_, err = desk.Explain(t.Context(), "j.0", nobody)
	require.ErrorIs(t, err, ci.ErrNotFound, "not even that it exists")
}

func ExampleNew() {
	_, desk := newHouse(0, 3)
	part, err := desk.Part(context.Background(), "run", 1, ops)
	if err != nil {
		panic(err)
	}
	fmt.Println(part.Total, "wait, first", part.First[0].BuildURL)
	// Output: 3 wait, first https://ci/gh/acme/shop/1
}
