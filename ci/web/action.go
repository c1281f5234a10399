package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

// form reads a posted form, bounded in size and time.
func form(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("read form: %w: %w", err, ci.ErrInvalid)
	}
	bodyRead(w)
	return nil
}

// actOnWorkflow does what a button of a workflow or of one of its jobs asks
// for, and sends the browser to the page that shows the result.
func (s *site) actOnWorkflow(w http.ResponseWriter, r *http.Request) error {
	if err := form(w, r); err != nil {
		return err
	}
	ctx, by := r.Context(), actorOf(r)
	id, job := ci.WorkflowID(r.PathValue("workflow")), ci.JobID(r.PostForm.Get("job"))
	verb := r.PathValue("verb")
	if job == "" && (verb == "approve" || verb == "cancel-job" || verb == "rerun-job") {
		return fmt.Errorf("%s: no job is named: %w", verb, ci.ErrInvalid)
	}
	wf, err := s.read.Workflow(ctx, id)
	if err != nil {
		return err
	}
	if _, err := s.mayChange(ctx, wf.Project); err != nil {
		return err
	}
	switch verb {
	case "approve":
		err = s.conduct.Approve(ctx, id, job, by)
	case "cancel":
		err = s.conduct.Cancel(ctx, id, by)
	case "cancel-job":
		err = s.conduct.CancelJob(ctx, id, job, by)
	case "rerun":
		id, err = s.conduct.Rerun(ctx, id, ci.Rerun{}, by)
	case "rerun-failed":
		id, err = s.conduct.Rerun(ctx, id, ci.Rerun{FromFailed: true}, by)
	case "rerun-job":
		id, err = s.conduct.Rerun(ctx, id, ci.Rerun{Jobs: []ci.JobID{job}, Downstream: r.PostForm.Get("downstream") != ""}, by)
	default:
		return ci.ErrNotFound
	}
	if err != nil {
		return err
	}
	if verb == "cancel-job" && r.PostForm.Get("stay") != "" {
		redirect(w, "/jobs/"+escapeSlug(string(job)), http.StatusSeeOther)
		return nil
	}
	redirect(w, WorkflowPath(id), http.StatusSeeOther)
	return nil
}

// runAgain triggers a pipeline once more: the same commit, parameters and
// trust, by whoever asks.
func (s *site) runAgain(w http.ResponseWriter, r *http.Request) error {
	p, err := s.read.Pipeline(r.Context(), ci.PipelineID(r.PathValue("pipeline")))
	if err != nil {
		return err
	}
	if _, err := s.mayChange(r.Context(), p.Trigger.Project); err != nil {
		return err
	}
	t := p.Trigger
	t.Key, t.Source, t.Schedule, t.Scheduled, t.Planned, t.Actor = "", ci.SourceAPI, "", "", time.Time{}, actorOf(r)
	if p, err = s.conduct.Trigger(r.Context(), t); err != nil {
		return err
	}
	redirect(w, PipelinePath(p.ID), http.StatusSeeOther)
	return nil
}

// runBranch runs a pipeline for the newest commit of a branch.
func (s *site) runBranch(w http.ResponseWriter, r *http.Request) error {
	if err := form(w, r); err != nil {
		return err
	}
	project, err := s.read.ProjectBySlug(r.Context(), r.PathValue("slug"))
	if err == nil {
		project, err = s.mayChange(r.Context(), project.ID)
	}
	if err != nil {
		return err
	}
	if s.cfg.Retrigger == nil {
		return errMethod
	}
	branch := strings.TrimSpace(r.PostForm.Get("branch"))
	if branch == "" {
		branch = project.DefaultBranch
	}
	if branch == "" || len(branch) > 255 || strings.HasPrefix(branch, "-") || strings.ContainsFunc(branch, unicode.IsControl) {
		return fmt.Errorf("run pipeline: %q is not the name of a branch: %w", clean(branch, 80, false), ci.ErrInvalid)
	}
	p, err := s.cfg.Retrigger(r.Context(), project, branch, actorOf(r))
	if err != nil {
		return err
	}
	redirect(w, PipelinePath(p.ID), http.StatusSeeOther)
	return nil
}
