package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A built is a build: a job that has a number, and its surroundings.
type built struct {
	job      *ci.Job
	workflow *ci.Workflow
	origin   ci.WorkflowID // the first of those that the workflow repeats
	pipeline ci.Pipeline
	project  ci.Project
}

// A kin is what a build has to do with others.
type kin struct {
	previous, good *built // the one before of that job on the branch, and the one that succeeded
	retryOf        *int64
	retries        []int64
}

// status returns the status of a build in the words of v1.1.
func (k kin) status(s ci.Status) string {
	switch {
	case len(k.retries) > 0:
		return "retried"
	case s == ci.Success && k.previous != nil && broke(k.previous.job.Status):
		return "fixed"
	case lifecycle(s) == "not_run", lifecycle(s) == "not_running":
		return lifecycle(s)
	}
	return string(s)
}

// A walk reads builds by their pipelines, newest first, since those are what a
// store finds by index. It remembers what it has read; it lives as long as one
// call.
type walk struct {
	*call
	workflows map[ci.PipelineID][]ci.Workflow
	branches  map[ci.Query]*stretch // by Project and Branch
}

// A stretch is pipelines of one branch, newest first, with none left out.
type stretch struct {
	list []ci.Pipeline
	at   map[ci.PipelineID]int // in list
	end  bool                  // there are no older ones
}

func (c *call) walk() *walk {
	return &walk{c, map[ci.PipelineID][]ci.Workflow{}, map[ci.Query]*stretch{}}
}

// buildsLook is how many builds cost as much as a pipeline.
const buildsLook = 20

// previousLook is how many pipelines back a build before is looked for.
const previousLook = 10

// builds returns those of one pipeline, the highest number first. Jobs that a
// rerun has kept are those of the workflow before and not listed twice.
func (w *walk) builds(ctx context.Context, p ci.Pipeline, project ci.Project) ([]built, error) {
	all, ok := w.workflows[p.ID]
	if !ok {
		var err error
		if all, err = w.read.Workflows(ctx, p.ID); err != nil {
			return nil, err
		}
		w.workflows[p.ID] = all
	}
	var out []built
	for i := range all {
		f := &all[i]
		b := built{workflow: f, origin: origin(all, f), pipeline: p, project: project}
		for _, jobs := range [][]ci.Job{f.Jobs, f.Past} {
			for k := range jobs {
				if b.job = &jobs[k]; b.job.Number > 0 && !b.job.Kept {
					out = append(out, b)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b built) int { return cmp.Compare(b.job.Number, a.job.Number) })
	return out, nil
}

// origin returns the first of the workflows that f repeats.
func origin(all []ci.Workflow, f *ci.Workflow) ci.WorkflowID {
	id := f.RerunOf
	for i := len(all) - 1; i >= 0 && id != ""; i-- {
		if all[i].ID == id {
			f, id = &all[i], all[i].RerunOf
		}
	}
	return f.ID
}

// newest returns want builds of those that q selects and keep keeps, from the
// offset on, newest first. Its cost is that of the pipelines up to there, of
// which it looks at pipelineLook at most, fewer if they have many builds.
func (w *walk) newest(q ci.Query, keep func(built) bool, offset, want int) ([]built, error) {
	ctx := w.r.Context()
	var found []built
	q.Limit = 20
	for looked := 0; len(found) < offset+want && looked < pipelineLook; q.Limit = min(2*q.Limit, 100) {
		batch, err := w.batch(q)
		if err != nil {
			return nil, err
		}
		for _, p := range batch {
			q.Before = p.ID
			if len(found) >= offset+want || looked >= pipelineLook {
				break
			}
			project, err := w.may(ctx, p.Trigger.Project, false)
			if hidden(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			of, err := w.builds(ctx, p, project)
			if err != nil {
				return nil, err
			}
			looked += len(of) / buildsLook
			for _, b := range of {
				if (!b.job.Queued.IsZero() || b.job.Status == ci.Unauthorized) && keep(b) {
					found = append(found, b)
				}
			}
		}
		if looked += len(batch); len(batch) < q.Limit {
			break
		}
	}
	// A rerun in an older pipeline is newer than what that pipeline's age says.
	slices.SortStableFunc(found, func(a, b built) int {
		if q.Project != "" {
			return cmp.Compare(b.job.Number, a.job.Number)
		}
		return b.job.Queued.Compare(a.job.Queued)
	})
	return found[min(offset, len(found)):min(offset+want, len(found))], nil
}

// older returns up to previousLook pipelines before one on its branch. Lists ask
// for one after the other, so the next ones are read along.
func (w *walk) older(p ci.Pipeline) ([]ci.Pipeline, error) {
	q := ci.Query{Project: p.Trigger.Project, Branch: p.Trigger.Branch}
	if q.Branch == "" {
		return nil, nil
	}
	s, limit := w.branches[q], 5*previousLook
	if s == nil || s.list[s.at[p.ID]].ID != p.ID {
		s, limit = &stretch{list: []ci.Pipeline{p}, at: map[ci.PipelineID]int{p.ID: 0}}, previousLook
		w.branches[q] = s
	}
	from := s.at[p.ID] + 1
	if !s.end && len(s.list)-from < previousLook {
		more := q
		more.Before, more.Limit = s.list[len(s.list)-1].ID, limit
		batch, err := w.batch(more)
		if err != nil {
			return nil, err
		}
		for _, old := range batch {
			s.at[old.ID] = len(s.list)
			s.list = append(s.list, old)
		}
		s.end = len(batch) < limit
	}
	return s.list[from:min(from+previousLook, len(s.list))], nil
}

// kin looks for the relatives of a build: those before it of the same job on
// the same branch, first in its own pipeline and then a few pipelines back, and
// those that it repeats or that repeat it.
func (w *walk) kin(ctx context.Context, b built) (kin, error) {
	k, err := w.repeats(ctx, b)
	if err != nil {
		return k, err
	}
	older, err := w.older(b.pipeline)
	if err != nil {
		return k, err
	}
	for _, p := range append([]ci.Pipeline{b.pipeline}, older...) {
		of, err := w.builds(ctx, p, b.project)
		if err != nil {
			return k, err
		}
		for _, was := range of {
			if was.job.Name != b.job.Name || was.job.Number >= b.job.Number || lifecycle(was.job.Status) != "finished" {
				continue
			}
			if k.previous == nil {
				k.previous = &was
			}
			if was.job.Status == ci.Success {
				k.good = &was
				return k, nil
			}
		}
	}
	return k, nil
}

// repeats finds what a build repeats and what repeats it. Both are in the
// pipeline.
func (w *walk) repeats(ctx context.Context, b built) (k kin, err error) {
	of, err := w.builds(ctx, b.pipeline, b.project)
	if err != nil {
		return k, err
	}
	for _, other := range of { // the highest number first
		o, j := other.job, b.job
		if o.Name != j.Name || other.workflow.Name != b.workflow.Name || other.origin != b.origin {
			continue
		}
		switch {
		case o.Number < j.Number && k.retryOf == nil:
			k.retryOf = &o.Number
		case o.Number > j.Number:
			k.retries = append(k.retries, o.Number)
		}
	}
	slices.Sort(k.retries)
	return k, nil
}

// filters are the words for builds of a list.
var filters = map[string]func(built) bool{
	"":           func(built) bool { return true },
	"completed":  func(b built) bool { return lifecycle(b.job.Status) == "finished" },
	"successful": func(b built) bool { return b.job.Status == ci.Success },
	"failed":     func(b built) bool { return broke(b.job.Status) },
	"running":    func(b built) bool { return b.job.Status == ci.Running },
}

// filter returns the one that the query names.
func (c *call) filter(def string) (func(built) bool, error) {
	name := cmp.Or(c.r.URL.Query().Get("filter"), def)
	f := filters[name]
	if f == nil {
		return nil, refuse(http.StatusBadRequest, fmt.Sprintf("filter must be completed, successful, failed or running, not %.50q.", name))
	}
	return f, nil
}

func (c *call) recentBuilds() (any, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	q := ci.Query{}
	if c.guest.token != nil { // it has one project, which need not be searched for
		q.Project = c.guest.token.Project
	}
	return c.listBuilds(q)
}

func (c *call) projectBuilds() (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	return c.listBuilds(ci.Query{Project: p.ID, Branch: c.r.PathValue("branch")})
}

func (c *call) listBuilds(q ci.Query) (any, error) {
	keep, err := c.filter("")
	if err != nil {
		return nil, err
	}
	limit, err := c.number("limit", 30)
	if err != nil {
		return nil, err
	}
	offset, err := c.number("offset", 0)
	if err != nil {
		return nil, err
	}
	w, shallow := c.walk(), c.r.URL.Query().Get("shallow") == "true"
	found, err := w.newest(q, keep, int(min(offset, maxOffset)), int(min(limit, 100)))
	if err != nil {
		return nil, err
	}
	out := make([]build, 0, len(found))
	for _, b := range found {
		look := w.kin
		if shallow {
			look = w.repeats
		}
		k, err := look(c.r.Context(), b)
		if err != nil {
			return nil, err
		}
		out = append(out, c.buildOf(b, k))
	}
	return out, nil
}

// maxOffset is more builds than pipelineLook pipelines have anywhere, so what
// is beyond is empty anyway.
const maxOffset = 1 << 30
