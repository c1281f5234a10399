package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// queueRoutes are the operations on what waits.
func queueRoutes() []route {
	return []route{
		{
			method: "GET", path: "/rondo/queue", summary: "How the queue stands, and the ends of both of its parts", tag: "Rondo",
			query:  []string{"n: how many of each end, 3 if it is left out, at most 1000"},
			status: 200, response: queueView{}, serve: (*call).viewQueue,
		}, {
			method: "GET", path: "/rondo/queue/explain", summary: "Where the tasks of a job are, why, and how long each hop took", tag: "Rondo",
			query: []string{
				"of: a task, a job's identity, the address of its page, project slug and number (gh/acme/shop/12), or its number alone",
			},
			status: 200, response: page[ci.Explanation]{}, serve: (*call).explain,
		}, {
			method: "POST", path: "/rondo/queue/promote", summary: "Move tasks from the usage queue to the run queue, past the limit", tag: "Rondo",
			status: 200, request: promoteRequest{}, response: ci.QueueMove{}, serve: (*call).promote,
		}, {
			method: "POST", path: "/rondo/queue/cancel", summary: "Cancel a batch of the run queue", tag: "Rondo",
			status: 200, request: cancelRequest{}, response: ci.QueueMove{}, serve: (*call).cancelWaiting,
		},
	}
}

// A queueView is how the queue stands.
type queueView struct {
	Placed  int          `json:"placed"`
	Running int          `json:"running"`
	Oldest  stamp        `json:"oldest_queued_at"`
	Advice  string       `json:"advice"` // what capacity would help
	Missing int          `json:"missing_nodes"`
	Usage   ci.QueuePart `json:"usage_queue"`
	Run     ci.QueuePart `json:"run_queue"`
}

// promoteRequest moves tasks of an organisation, of all without one.
type promoteRequest struct {
	Org   string `json:"org,omitempty"`
	Count int    `json:"count"`
	Force bool   `json:"force,omitempty"` // also more than 100, or all
}

// cancelRequest cancels up to 100 that have waited for that long.
type cancelRequest struct {
	Count int    `json:"count"`
	Older string `json:"older_than,omitempty"` // a duration, as in "1h"
}

func (c *call) viewQueue() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	n := 3
	if text := c.r.URL.Query().Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > 1000 {
			return nil, refuse(http.StatusBadRequest, "n must be a number from 0 to 1000.")
		}
	}
	s, err := ops.State(c.r.Context(), c.by)
	if err != nil {
		return nil, err
	}
	v := queueView{Placed: s.Placed, Running: s.Running, Oldest: stampOf(s.Oldest), Advice: s.Advice, Missing: s.Missing}
	if v.Usage, err = ops.Part(c.r.Context(), "usage", n, c.by); err != nil {
		return nil, err
	}
	v.Run, err = ops.Part(c.r.Context(), "run", n, c.by)
	return v, err
}

func (c *call) explain() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	of := c.r.URL.Query().Get("of")
	if of == "" {
		return nil, missing("of")
	}
	if _, _, ok := ci.TaskID(of).Split(); ok {
		x, err := ops.Explain(c.r.Context(), ci.TaskID(of), c.by)
		if err != nil {
			return nil, named(err, "Task")
		}
		return pageOf([]ci.Explanation{x}, nil), nil
	}
	f, err := c.jobOf(of)
	if err != nil {
		return nil, err
	}
	var all []ci.Explanation
	for i := range max(len(f.job.Tasks), 1) {
		x, err := ops.Explain(c.r.Context(), f.job.ID.Task(i), c.by)
		if err != nil {
			return nil, named(err, "Task")
		}
		all = append(all, x)
	}
	return pageOf(all, nil), nil
}

// jobOf finds a job as people name one: by identity, by the address of its
// page or its end, by slug and number, or by a number that only one project has.
func (c *call) jobOf(name string) (f found, err error) {
	if isUUID(name) {
		c.r.SetPathValue("job_id", strings.ToLower(name))
		return c.job(false)
	}
	if u, err := url.Parse(name); err == nil {
		name = strings.Trim(u.Path, "/")
	}
	name = strings.TrimPrefix(name, "jobs/")
	slash := strings.LastIndexByte(name, '/')
	c.r.SetPathValue("job_number", name[slash+1:])
	if slash > 0 {
		c.r.SetPathValue("project_slug", name[:slash])
		return c.job(false)
	}
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil || n < 1 {
		return f, refuse(http.StatusBadRequest, "Name a task, a job, the address of its page, or project and number, as in gh/acme/shop/12.")
	}
	var slugs []string
	for p, err := range c.read.Projects(c.r.Context()) {
		if err != nil {
			return f, err
		}
		if c.access(c.r.Context(), p, false) != nil {
			continue
		}
		if _, _, err := c.read.JobByNumber(c.r.Context(), p.ID, n); err == nil {
			slugs = append(slugs, p.Slug)
		}
	}
	switch {
	case len(slugs) == 0:
		return f, refuse(http.StatusNotFound, "No project has a job "+name+".")
	case len(slugs) > 1:
		return f, refuse(http.StatusConflict, "Several projects have a job "+name+"; say which: "+strings.Join(slugs[:min(len(slugs), 10)], "/"+name+", ")+"/"+name)
	}
	c.r.SetPathValue("project_slug", slugs[0])
	return c.job(false)
}

func (c *call) promote() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	var req promoteRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	return ops.Promote(c.r.Context(), req.Org, req.Count, req.Force, c.by)
}

func (c *call) cancelWaiting() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	var req cancelRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	var older time.Duration
	if req.Older != "" {
		if older, err = time.ParseDuration(req.Older); err != nil || older < 0 {
			return nil, refuse(http.StatusBadRequest, "older_than must be a duration, as in 1h.")
		}
	}
	return ops.CancelWaiting(c.r.Context(), req.Count, older, c.by)
}
