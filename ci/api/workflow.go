package api

import (
	"errors"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// A workflow is a [ci.Workflow] on the wire.
type workflow struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Pipeline string  `json:"pipeline_id"`
	Number   int64   `json:"pipeline_number"`
	Slug     string  `json:"project_slug"`
	Status   string  `json:"status"`
	By       string  `json:"started_by"`
	Created  stamp   `json:"created_at"`
	Stopped  stamp   `json:"stopped_at"`
	Canceled *string `json:"canceled_by,omitempty"`
	RerunOf  string  `json:"rerun_of,omitempty"`
	Tag      string  `json:"tag,omitempty"` // "setup" or nothing
}

func workflowOf(w ci.Workflow, p ci.Pipeline, project ci.Project) workflow {
	out := workflow{
		ID: string(w.ID), Name: w.Name, Pipeline: string(w.Pipeline), Number: p.Number, Slug: project.Slug,
		Status: string(w.Status), By: actorID(w.By), Created: stampOf(w.Created), Stopped: stampOf(w.Stopped),
		RerunOf: string(w.RerunOf),
	}
	if w.Setup {
		out.Tag = "setup"
	}
	if w.Status == ci.Canceled {
		out.Canceled = new(actorID(w.Canceled))
	}
	return out
}

// actorID returns the identity of an actor as a UUID.
func actorID(a ci.Actor) string { return uuidOr(a.ID, "user "+a.String()) }

// A workflowJob is a [ci.Job] in the list of a workflow.
type workflowJob struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Type         string   `json:"type"`
	Number       *int64   `json:"job_number,omitempty"`
	Status       string   `json:"status"`
	Reason       string   `json:"reason,omitempty"`
	Started      stamp    `json:"started_at"`
	Stopped      stamp    `json:"stopped_at"`
	Queued       stamp    `json:"queued_at"`
	Slug         string   `json:"project_slug"`
	Dependencies []string `json:"dependencies"`
	Attempt      int      `json:"attempt"`
	Parallelism  int      `json:"parallelism,omitempty"`
	Canceled     *string  `json:"canceled_by,omitempty"`
	Approved     *string  `json:"approved_by,omitempty"`
	Approval     *string  `json:"approval_request_id,omitempty"`
}

func workflowJobOf(j *ci.Job, w *ci.Workflow, project ci.Project) workflowJob {
	out := workflowJob{
		ID: string(j.ID), Name: j.Name, Type: "build", Status: string(j.Status), Reason: j.Reason,
		Started: stampOf(j.Started), Stopped: stampOf(j.Stopped), Queued: stampOf(j.Queued), Slug: project.Slug,
		Dependencies: []string{}, Attempt: j.Attempt, Parallelism: j.Parallelism,
	}
	for _, r := range j.Requires {
		if up := w.JobNamed(r.Job); up != nil {
			out.Dependencies = append(out.Dependencies, string(up.ID))
		}
	}
	if j.Type != ci.JobBuild {
		out.Type = string(j.Type)
	}
	if j.Number > 0 {
		out.Number = &j.Number
	}
	if j.Status == ci.Canceled && w.Status == ci.Canceled {
		out.Canceled = new(actorID(w.Canceled))
	}
	if j.Type == ci.JobApproval {
		out.Approval = &out.ID
		if j.Status == ci.Success {
			out.Approved = new(actorID(j.Approved))
		}
	}
	return out
}

func (c *call) listWorkflows() (any, error) {
	p, project, err := c.pipeline(false)
	if err != nil {
		return nil, err
	}
	list, err := c.read.Workflows(c.r.Context(), p.ID)
	if err != nil {
		return nil, err
	}
	var items []workflow
	for _, w := range list {
		items = append(items, workflowOf(w, p, project))
	}
	return pageOf(items, nil), nil
}

func (c *call) getWorkflow() (any, error) {
	w, project, err := c.workflow(false)
	if err != nil {
		return nil, err
	}
	p, err := c.read.Pipeline(c.r.Context(), w.Pipeline)
	if err != nil {
		return nil, err
	}
	return workflowOf(w, p, project), nil
}

func (c *call) listJobs() (any, error) {
	w, project, err := c.workflow(false)
	if err != nil {
		return nil, err
	}
	var items []workflowJob
	for i := range w.Jobs {
		items = append(items, workflowJobOf(&w.Jobs[i], &w, project))
	}
	return pageOf(items, nil), nil
}

func (c *call) approve() (any, error) {
	w, _, err := c.workflow(true)
	if err != nil {
		return nil, err
	}
	err = c.server.Approve(c.r.Context(), w.ID, ci.JobID(c.r.PathValue("approval_request_id")), c.by)
	if err != nil {
		return nil, named(err, "Approval request")
	}
	return message{"Accepted."}, nil
}

// cancelWorkflow accepts a second call: the reply to the first may be lost.
func (c *call) cancelWorkflow() (any, error) {
	w, _, err := c.workflow(true)
	if err != nil {
		return nil, err
	}
	err = c.server.Cancel(c.r.Context(), w.ID, c.by)
	if errors.Is(err, ci.ErrConflict) {
		if again, readErr := c.read.Workflow(c.r.Context(), w.ID); readErr == nil && again.Status == ci.Canceled {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	return message{"Accepted."}, nil
}

// A rerunRequest says what of a workflow is to run again.
type rerunRequest struct {
	Jobs       []string `json:"jobs,omitempty"`
	FromFailed bool     `json:"from_failed,omitempty"`
	SparseTree bool     `json:"sparse_tree,omitempty"`
	EnableSSH  bool     `json:"enable_ssh,omitempty"`
}

type rerunReply struct {
	Workflow string `json:"workflow_id"`
}

func (c *call) rerun() (any, error) {
	w, _, err := c.workflow(true)
	if err != nil {
		return nil, err
	}
	var req rerunRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	switch {
	case len(req.Jobs) > 0 && req.FromFailed:
		return nil, refuse(http.StatusBadRequest, "Give either jobs or from_failed, not both.")
	case req.SparseTree && len(req.Jobs) == 0 && !req.FromFailed:
		return nil, refuse(http.StatusBadRequest, "sparse_tree needs jobs or from_failed.")
	case req.EnableSSH && len(req.Jobs) == 0:
		return nil, refuse(http.StatusBadRequest, "enable_ssh needs jobs.")
	case req.EnableSSH:
		return nil, refuse(http.StatusBadRequest, "A rerun with SSH is not available on this server.")
	}
	r := ci.Rerun{FromFailed: req.FromFailed}
	for _, id := range req.Jobs {
		if !isUUID(id) {
			return nil, refuse(http.StatusBadRequest, "jobs must be identities of jobs.")
		}
		r.Jobs = append(r.Jobs, ci.JobID(id))
	}
	id, err := c.server.Rerun(c.r.Context(), w.ID, r, c.by)
	if err != nil {
		return nil, named(err, "Job")
	}
	return rerunReply{string(id)}, nil
}
