package api

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// The limits of a request's body.
const (
	maxBody     = 1 << 20
	maxConfig   = 4 << 20 // of one that carries a configuration
	bodyTimeout = 30 * time.Second
)

// A call is one request on its way through a route.
type call struct {
	*API
	w  http.ResponseWriter
	r  *http.Request
	by ci.Actor
	guest
	// most is the size in bytes of the largest body.
	most int64
	// checked is when Auth was asked last.
	checked time.Time
	// projects are those read so far; one list names the same ones often.
	projects map[ci.ProjectID]ci.Project
}

// serve authenticates, runs the route and writes its reply.
func (a *API) serve(route route, w http.ResponseWriter, r *http.Request) {
	c := &call{API: a, w: w, r: r, most: cmp.Or(route.most, maxBody)}
	var v any
	err := c.admit(route)
	if err == nil {
		v, err = route.serve(c)
	}
	if err == nil {
		if v != written {
			reply(w, route.status, v)
		}
		return
	}
	status, text, known := answerTo(err)
	if !known && r.Context().Err() == nil {
		a.log.Error("api", "call", r.Method+" "+r.URL.Path, "request", w.Header().Get("X-Request-Id"), "err", err)
	}
	if v == written { // it is too late to say so
		return
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="rondo"`)
	}
	if route.errorKey {
		reply(w, status, bothMessages{text, text})
		return
	}
	reply(w, status, message{text})
}

// written is what a route returns that has written its reply itself.
var written any = new(struct{ _ byte })

// authenticate finds out who calls.
func (c *call) authenticate(route route) error {
	if route.open {
		return nil
	}
	by, err := c.cfg.Auth(c.r, token(c.r))
	if hidden(err) {
		return c.welcome(route)
	}
	c.by, c.checked, c.open = by, time.Now(), route.scope != ""
	c.r = c.r.WithContext(ci.WithRequest(c.r.Context(), ci.Request{
		ID: c.w.Header().Get("X-Request-Id"), Address: c.limits.from(c.r), Trace: wire.TraceID(c.r), Actor: by,
	}))
	return err
}

// still reports whether a stream may go on: a token that was taken back must
// not see what happens later. Auth is asked at most once a second.
func (c *call) still() bool {
	if time.Since(c.checked) < time.Second {
		return true
	}
	by, err := c.cfg.Auth(c.r, token(c.r))
	c.checked = time.Now()
	return err == nil && by == c.by
}

// token returns the token of a request, from the first of the places where
// clients put it: the Circle-Token field, a bearer token, the user name of
// basic authentication without a password, and the address.
func token(r *http.Request) string {
	if t := r.Header.Get("Circle-Token"); t != "" {
		return t
	}
	if auth := r.Header.Get("Authorization"); auth != "" {
		if scheme, t, ok := strings.Cut(auth, " "); ok && strings.EqualFold(scheme, "bearer") {
			return strings.TrimSpace(t)
		}
		if user, password, ok := r.BasicAuth(); ok && password == "" {
			return user
		}
		return ""
	}
	return r.URL.Query().Get("circle-token")
}

// body decodes a JSON request into v. An empty body leaves v as it is.
func (c *call) body(v any) error {
	data, err := wire.Read(c.w, c.r, c.most)
	if err != nil || data == nil {
		return err
	}
	return wire.Parse(data, v)
}

// project returns the project of the address, if the caller may see (or
// change) it.
func (c *call) project(write bool) (ci.Project, error) {
	return c.projectNamed(c.r.PathValue("project_slug"), write)
}

// projectNamed returns a project by slug or identity, likewise.
func (c *call) projectNamed(name string, write bool) (ci.Project, error) {
	if id := standalone(name); id != "" {
		name = id
	}
	var p ci.Project
	var err error
	if isUUID(name) {
		p, err = c.read.Project(c.r.Context(), ci.ProjectID(strings.ToLower(name)))
	} else {
		p, err = c.read.ProjectBySlug(c.r.Context(), shorten(name))
	}
	if err == nil {
		err = c.access(c.r.Context(), p, write)
	}
	return p, named(err, "Project")
}

// may returns the project of something that was found otherwise, if the caller
// may see (or change) it.
func (c *call) may(ctx context.Context, id ci.ProjectID, write bool) (ci.Project, error) {
	p, ok := c.projects[id]
	if !ok {
		var err error
		if p, err = c.read.Project(ctx, id); err != nil {
			return p, err
		}
		if c.projects == nil {
			c.projects = make(map[ci.ProjectID]ci.Project)
		}
		c.projects[id] = p
	}
	return p, c.access(ctx, p, write)
}

// pipeline returns the pipeline of the address and its project.
func (c *call) pipeline(write bool) (ci.Pipeline, ci.Project, error) {
	p, err := c.read.Pipeline(c.r.Context(), ci.PipelineID(c.r.PathValue("pipeline_id")))
	if err != nil {
		return p, ci.Project{}, named(err, "Pipeline")
	}
	project, err := c.may(c.r.Context(), p.Trigger.Project, write)
	return p, project, named(err, "Pipeline")
}

// workflow returns the workflow of the address and its project.
func (c *call) workflow(write bool) (ci.Workflow, ci.Project, error) {
	w, err := c.read.Workflow(c.r.Context(), ci.WorkflowID(c.r.PathValue("workflow_id")))
	if err != nil {
		return w, ci.Project{}, named(err, "Workflow")
	}
	project, err := c.may(c.r.Context(), w.Project, write)
	return w, project, named(err, "Workflow")
}

// A found job is one with its surroundings.
type found struct {
	job      *ci.Job
	workflow ci.Workflow
	project  ci.Project
}

// job returns the job of the address: by its identity, or by its number in the
// project.
func (c *call) job(write bool) (found, error) {
	f, err := c.findJob(write)
	return f, named(err, "Job")
}

func (c *call) findJob(write bool) (f found, err error) {
	ctx := c.r.Context()
	id := ci.JobID(c.r.PathValue("job_id"))
	var wid ci.WorkflowID
	if id != "" {
		wid, err = c.read.JobWorkflow(ctx, id)
	} else {
		if f.project, err = c.project(write); err != nil {
			return f, err
		}
		number, bad := strconv.ParseInt(c.r.PathValue("job_number"), 10, 64)
		if bad != nil || number < 1 {
			return f, ci.ErrNotFound
		}
		wid, id, err = c.read.JobByNumber(ctx, f.project.ID, number)
	}
	if err != nil {
		return f, err
	}
	if f.workflow, err = c.read.Workflow(ctx, wid); err != nil {
		return f, err
	}
	if f.project, err = c.may(ctx, f.workflow.Project, write); err != nil {
		return f, err
	}
	if f.job = f.workflow.Attempt(id); f.job == nil {
		return f, ci.ErrNotFound
	}
	return f, nil
}
