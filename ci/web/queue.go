package web

import (
	"context"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Queue is what waits for a place, and the places. What is nil has no page.
type Queue struct {
	// Waiting lists the tasks that wait, the next to start first, at most
	// limit, and says how many there are in all.
	Waiting func(ctx context.Context, limit int) (tickets []ci.Ticket, total int, err error)
	// Operations are what operators know of the machines and do to them.
	Operations ci.Operations
	// Machines are those of single tasks.
	Machines Machines
}

// queueRows is how many waiting tasks are listed.
const queueRows = 100

// queueBody is what the page of the queue shows.
type queueBody struct {
	Rows  []queueRow
	Total int
	State ci.QueueState
}

// Never is when a task that waits has stopped to.
func (queueBody) Never() time.Time { return time.Time{} }

// A queueRow is a task that waits.
type queueRow struct {
	ci.Task
	Place   int // in the listing, from 1
	Project ci.Project
	Path    string // of its job
	Reason  *ci.Reason
}

// queue serves what waits, why, since when, and when it is expected to start.
func (s *site) queue(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Queue.Waiting == nil {
		return absent{"view of its queue"}
	}
	ctx := r.Context()
	tickets, total, err := s.cfg.Queue.Waiting(ctx, queueRows)
	if err != nil {
		return err
	}
	b := queueBody{Total: total}
	if ops := s.cfg.Queue.Operations; ops != nil {
		if b.State, err = ops.State(ctx, actorOf(r)); err != nil {
			return err
		}
	}
	projects := map[ci.ProjectID]ci.Project{}
	for i, t := range tickets[:min(len(tickets), queueRows)] {
		row := queueRow{Task: t.Task, Place: i + 1}
		p, known := projects[t.Task.Project]
		if !known {
			if p, err = s.read.Project(ctx, t.Task.Project); err != nil && !hidden(err) {
				return err
			}
			projects[t.Task.Project] = p
		}
		if p.ID != "" { // of one that the reader may not see, there is only its place
			row.Project, row.Path = p, JobPath(p, t.Task.Number)
			row.Reason = s.reason(ctx, t.Task.ID)
		}
		b.Rows = append(b.Rows, row)
	}
	return s.render(w, r, http.StatusOK, "queue", view{Title: "Queue", Refresh: 3, Body: b})
}
