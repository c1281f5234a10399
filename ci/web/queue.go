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
	// Nodes lists the machines that run tasks, by name.
	Nodes func(ctx context.Context) ([]Node, error)
}

// A Node is a machine that runs tasks.
type Node struct {
	Name   string
	State  string // "ready", "draining" or "down"
	Reason string // why it is not ready
	// CPU and MemoryMB (MiB) are what tasks may use of it, UsedCPU and
	// UsedMemoryMB what they hold.
	CPU, UsedCPU           float64
	MemoryMB, UsedMemoryMB int
	Tasks                  int
}

// queueRows is how many waiting tasks are listed.
const queueRows = 100

// queueBody is what the page of the queue shows.
type queueBody struct {
	Rows  []queueRow
	Total int
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

// nodesBody is what the page of nodes shows.
type nodesBody struct{ Rows []Node }

// Ready returns how many nodes take tasks.
func (b nodesBody) Ready() int {
	n := 0
	for _, row := range b.Rows {
		if row.State == "ready" {
			n++
		}
	}
	return n
}

// Look returns how the state of a node is shown.
func (n Node) Look() look {
	l := lookOf(ci.Success)
	switch n.State {
	case "ready":
	case "draining":
		l = lookOf(ci.OnHold)
	default:
		l = lookOf(ci.Failed)
	}
	l.Word = show(n.State)
	return l
}

// nodes serves the machines that run tasks.
func (s *site) nodes(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Queue.Nodes == nil {
		return absent{"view of its nodes"}
	}
	rows, err := s.cfg.Queue.Nodes(r.Context())
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "nodes", view{Title: "Nodes", Refresh: 5, Body: nodesBody{rows}})
}
