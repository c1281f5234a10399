package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// retryBuild runs the job of a build again, and what is behind it.
func (c *call) retryBuild() (any, error) {
	b, _, err := c.aBuild(true)
	if err != nil {
		return nil, err
	}
	id, err := c.server.Rerun(c.r.Context(), b.workflow.ID, ci.Rerun{Jobs: []ci.JobID{b.job.ID}}, c.by)
	if errors.Is(err, ci.ErrNotFound) {
		return nil, refuse(http.StatusConflict, "The build was retried already. Retry the newest of its retries.")
	}
	if err != nil {
		return nil, err
	}
	w, err := c.read.Workflow(c.r.Context(), id)
	if err != nil {
		return nil, err
	}
	j := w.JobNamed(b.job.Name)
	if j == nil {
		return nil, named(ci.ErrNotFound, "Build")
	}
	return c.again(j.ID)
}

// again returns the summary of a build as it is now.
func (c *call) again(id ci.JobID) (any, error) {
	c.r.SetPathValue("job_id", string(id))
	b, w, err := c.aBuild(false)
	if err != nil {
		return nil, err
	}
	return w.summary(b)
}

func (c *call) cancelBuild() (any, error) {
	if _, err := c.cancelJob(); err != nil {
		return nil, err
	}
	b, w, err := c.aBuild(false)
	if err != nil {
		return nil, err
	}
	return w.summary(b)
}

func (c *call) sshBuild() (any, error) {
	if _, err := c.job(true); err != nil {
		return nil, err
	}
	return nil, refuse(http.StatusBadRequest, "SSH into builds is not offered by this server yet.")
}

// clearCache is what a client asks for that knows the caches of old. Saying
// that it was done would be a lie.
func (c *call) clearCache() (any, error) {
	if _, err := c.project(true); err != nil {
		return nil, err
	}
	return nil, refuse(http.StatusBadRequest, "Caches are not cleared by project: change the key of save_cache in the configuration.")
}

// A trigger1 asks for a pipeline. The parameters of a build are those of the
// pipeline here.
type trigger1 struct {
	Branch     string         `json:"branch,omitempty"`
	Tag        string         `json:"tag,omitempty"`
	Revision   string         `json:"revision,omitempty"`
	Job        string         `json:"job,omitempty"`
	Parameters map[string]any `json:"build_parameters,omitempty"`
}

type accepted1 struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// firstBuildWait is how long a trigger waits for the first build that comes of
// it, to answer with its number.
const firstBuildWait = 5 * time.Second

// trigger1 answers with the first build. If none has begun in a while, the
// answer has no number.
func (c *call) trigger1() (any, error) {
	after, err := c.read.LastEvent(c.r.Context())
	if err != nil {
		return nil, err
	}
	p, project, err := c.startPipeline()
	if err != nil {
		return nil, err
	}
	id, err := c.firstBuild(p.ID, after)
	if err != nil {
		return nil, err
	}
	if id != "" {
		return c.again(id)
	}
	wait := &ci.Job{Status: ci.Blocked}
	return c.buildOf(built{job: wait, workflow: &ci.Workflow{By: c.by}, pipeline: p, project: project}, kin{}), nil
}

// firstBuild waits until a job of the pipeline is queued, and returns "" when
// there is none.
func (c *call) firstBuild(p ci.PipelineID, after uint64) (ci.JobID, error) {
	ctx, cancel := context.WithTimeout(c.r.Context(), firstBuildWait)
	defer cancel()
	for e, err := range c.server.Follow(ctx, after) {
		switch {
		case ctx.Err() != nil:
			return "", nil
		case err != nil:
			return "", err
		case e.Pipeline != p:
		case e.Kind == ci.JobQueued:
			return e.Job, nil
		case e.Kind == ci.PipelineErrored:
			return "", nil
		}
	}
	return "", nil
}

func (c *call) triggerBuild1() (any, error) {
	if _, _, err := c.startPipeline(); err != nil {
		return nil, err
	}
	return accepted1{http.StatusOK, "Build created"}, nil
}

// startPipeline triggers what the request asks for.
func (c *call) startPipeline() (ci.Pipeline, ci.Project, error) {
	project, err := c.project(true)
	if err != nil {
		return ci.Pipeline{}, project, err
	}
	t, err := c.wanted1(project)
	if err != nil {
		return ci.Pipeline{}, project, err
	}
	p, err := c.cfg.Trigger(c.r.Context(), t)
	switch {
	case errors.Is(err, ci.ErrNotFound):
		err = refuse(http.StatusBadRequest, "Branch, tag or revision not found: "+t.Branch+t.Tag+" "+t.Revision)
	case err == nil && t.Revision != "" && !strings.HasPrefix(p.Trigger.Revision, t.Revision):
		err = fmt.Errorf("the newest commit %.12s is being built, not %.12s, which this server cannot build by itself: %w",
			p.Trigger.Revision, t.Revision, ci.ErrConflict)
	}
	return p, project, err
}

// wanted1 reads the trigger of a request.
func (c *call) wanted1(project ci.Project) (t ci.Trigger, err error) {
	var req trigger1
	if err := c.body(&req); err != nil {
		return t, err
	}
	if branch := c.r.PathValue("branch"); branch != "" {
		req.Branch = branch
	}
	switch {
	case c.cfg.Trigger == nil:
		return t, refuse(http.StatusNotImplemented, "This server takes no triggers.")
	case req.Job != "":
		return t, refuse(http.StatusBadRequest, "A job cannot be run by itself: trigger the pipeline, and let a parameter choose.")
	case req.Tag != "" && (req.Branch != "" || req.Revision != ""):
		return t, refuse(http.StatusBadRequest, "Give a tag alone, or a branch and a revision.")
	case badRef(req.Branch) || badRef(req.Tag):
		return t, refuse(http.StatusBadRequest, "That is no name of a branch or tag.")
	case req.Revision != "" && !isCommit(req.Revision):
		return t, refuse(http.StatusBadRequest, "A revision is the hash of a commit, 7 to 64 hex digits.")
	}
	parameters, err := typed(req.Parameters)
	if err != nil {
		return t, err
	}
	t = ci.Trigger{
		Project: project.ID, Source: ci.SourceAPI, Actor: c.by, Branch: req.Branch, Tag: req.Tag,
		Revision: strings.ToLower(req.Revision), Parameters: parameters,
	}
	if t.Branch == "" && t.Tag == "" {
		t.Branch = project.DefaultBranch
	}
	return t, nil
}

// isCommit reports whether s may be the hash of a commit.
func isCommit(s string) bool {
	return len(s) >= 7 && len(s) <= 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
