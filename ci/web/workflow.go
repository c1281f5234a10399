package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// workflowBody is what a workflow's page shows.
type workflowBody struct {
	Project  ci.Project
	Pipeline ci.Pipeline
	Workflow ci.Workflow
	Jobs     []jobRow
	Past     []jobRow
	Held     []jobRow // of Jobs, those that wait for a person
	Graph    *graph   // nil when there is too much to draw
	Reruns   []ci.Workflow
	Failed   bool // some job ended badly, so there is something to rerun
}

// A jobRow is a job in a workflow's table.
type jobRow struct {
	ci.Job
	Path string // of its page; "" when it has none
	Why  string // it is in its status
	// Since is since when it waits; zero is that it does not.
	Since time.Time
	// Workflow is that of the page, for the forms of the row.
	Workflow ci.WorkflowID
	CanRerun bool
}

// How much a workflow's page draws and explains.
const (
	graphJobs = 600
	explained = 20
)

// workflow serves one workflow.
func (s *site) workflow(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	seq, err := s.read.LastEvent(ctx)
	if err != nil {
		return err
	}
	wf, err := s.read.Workflow(ctx, ci.WorkflowID(r.PathValue("workflow")))
	if err != nil {
		return err
	}
	b := workflowBody{Workflow: wf}
	if b.Project, err = s.read.Project(ctx, wf.Project); err != nil {
		return err
	}
	if b.Pipeline, err = s.read.Pipeline(ctx, wf.Pipeline); err != nil {
		return err
	}
	siblings, err := s.read.Workflows(ctx, wf.Pipeline)
	if err != nil {
		return err
	}
	for _, o := range siblings {
		if o.RerunOf == wf.ID {
			b.Reruns = append(b.Reruns, o)
		}
	}
	waiting := s.fillJobs(ctx, &b)
	v := view{
		Title: show(wf.Name) + " · " + show(b.Project.Slug) + " #" + itoa(b.Pipeline.Number), Status: wf.Status, Body: b,
		Crumbs: s.crumbs(b.Project, crumb{"#" + itoa(b.Pipeline.Number), PipelinePath(b.Pipeline.ID)}, crumb{show(wf.Name), ""}),
	}
	if !wf.Status.Ended() {
		v.Live = live(seq, "workflow", string(wf.ID))
		if waiting {
			v.Refresh = 5
		}
	}
	return s.render(w, r, http.StatusOK, "workflow", v)
}

// fillJobs makes the rows of the table and the graph. It reports whether a job
// waits for a place, which is explained anew from time to time.
func (s *site) fillJobs(ctx context.Context, b *workflowBody) (waiting bool) {
	wf := &b.Workflow
	asked := 0
	for _, j := range wf.Jobs {
		row := s.jobRow(b.Project, wf, j)
		row.CanRerun = j.Type == ci.JobBuild && (j.Status.Ended() || wf.Status.Ended())
		b.Failed = b.Failed || j.Status.Ended() && j.Status != ci.Success
		switch {
		case j.Status == ci.Queued && asked < explained:
			asked++
			waiting = true
			if reason := s.explain(ctx, j); reason != nil {
				row.Why = reason.Text
			}
		case j.Status == ci.Blocked:
			row.Why = waitsFor(wf, j)
		case j.Status == ci.OnHold:
			b.Held = append(b.Held, row)
		}
		b.Jobs = append(b.Jobs, row)
	}
	for _, j := range wf.Past {
		b.Past = append(b.Past, s.jobRow(b.Project, wf, j))
	}
	if len(wf.Jobs) > 0 && len(wf.Jobs) <= graphJobs {
		b.Graph = new(layout(wf.Jobs))
	}
	return waiting
}

func (s *site) jobRow(p ci.Project, wf *ci.Workflow, j ci.Job) jobRow {
	row := jobRow{Job: j, Why: j.Reason, Workflow: wf.ID, Since: waitingSince(wf, j)}
	if j.Number > 0 {
		row.Path = JobPath(p, j.Number)
	}
	return row
}

// waitsFor says which jobs a job still waits for.
func waitsFor(wf *ci.Workflow, j ci.Job) string {
	var names []string
	for _, r := range j.Requires {
		if up := wf.JobNamed(r.Job); up != nil && !up.Status.Ended() {
			names = append(names, r.Job)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "waits for " + strings.Join(names, ", ")
}

// explain returns why the first queued task of a job waits, or nil when there
// is no telling.
func (s *site) explain(ctx context.Context, j ci.Job) *ci.Reason {
	for i, t := range j.Tasks {
		if t.Status == ci.Queued {
			return s.reason(ctx, j.ID.Task(i))
		}
	}
	return nil
}

// reason returns why a task waits, or nil when there is no telling.
func (s *site) reason(ctx context.Context, task ci.TaskID) *ci.Reason {
	if s.cfg.Explain == nil {
		return nil
	}
	reason, err := s.cfg.Explain(ctx, task)
	if err != nil {
		return nil // it may have started meanwhile
	}
	return &reason
}
