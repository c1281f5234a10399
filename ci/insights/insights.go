package insights

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Kept is how long a run is remembered: the longest window that the API
// offers.
const Kept = 90 * 24 * time.Hour

// A Reader reads workflows and what belongs to them. What does not exist is
// [ci.ErrNotFound].
type Reader interface {
	Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error)
	Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error)
	Tests(ctx context.Context, j ci.JobID) ([]ci.Test, error)
}

// Config holds what [Insights] can do without.
type Config struct {
	// Log receives faults; nil is silent.
	Log *slog.Logger
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Insights is the memory of runs. All methods are safe for concurrent use.
type Insights struct {
	docs ci.Docs
	read Reader
	log  *slog.Logger
	now  func() time.Time
}

// New returns the memory in docs. It remembers nothing new until Run.
func New(docs ci.Docs, read Reader, cfg Config) *Insights {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Insights{docs: docs, read: read, log: cfg.Log, now: cfg.Now}
}

// The kinds of documents. A run's scope is its project and workflow, a
// workflow's and a flaky test's the project.
const (
	kindRun      = "insight-run"
	kindWorkflow = "insight-workflow"
	kindFlaky    = "insight-flaky"
	kindCursor   = "insight-cursor"
)

func scopeOf(p ci.ProjectID, workflow string) string { return string(p) + "/" + workflow }

// stamp is a time as the names of runs begin: texts in the order of time.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Runs yields the runs that the query asks for, the newest first; those of
// several workflows one workflow after the other.
func (in *Insights) Runs(ctx context.Context, q ci.RunQuery) iter.Seq2[ci.Run, error] {
	return func(yield func(ci.Run, error) bool) {
		names := []string{q.Workflow}
		if q.Workflow == "" {
			var err error
			if names, err = in.Workflows(ctx, q.Project); err != nil {
				yield(ci.Run{}, err)
				return
			}
		}
		for _, name := range names {
			if !in.runs(ctx, q, name, yield) {
				return
			}
		}
	}
}

func (in *Insights) runs(ctx context.Context, q ci.RunQuery, workflow string, yield func(ci.Run, error) bool) bool {
	find := ci.DocQuery{Kind: kindRun, Scope: scopeOf(q.Project, workflow), Newest: true, After: stamp(q.From)}
	if !q.To.IsZero() {
		find.Before = stamp(q.To)
	}
	for d, err := range in.docs.Docs(ctx, find) {
		var r ci.Run
		if err == nil {
			err = json.Unmarshal(d.Body, &r)
		}
		if err != nil {
			return yield(ci.Run{}, fmt.Errorf("runs of workflow %s: %w", workflow, err))
		}
		if (q.Branch == "" || q.Branch == r.Branch) && !yield(r, nil) {
			return false
		}
	}
	return true
}

// Workflows lists the names of the workflows of a project that have ended
// within the last [Kept], by name.
func (in *Insights) Workflows(ctx context.Context, p ci.ProjectID) ([]string, error) {
	var names []string
	for d, err := range in.docs.Docs(ctx, ci.DocQuery{Kind: kindWorkflow, Scope: string(p)}) {
		if err != nil {
			return nil, fmt.Errorf("workflows of project %s: %w", p, err)
		}
		names = append(names, d.Name)
	}
	return names, nil
}

// Branches lists the branches on which a workflow (or any, with "") has ended,
// by name.
func (in *Insights) Branches(ctx context.Context, p ci.ProjectID, workflow string) ([]string, error) {
	var all []string
	for d, err := range in.docs.Docs(ctx, ci.DocQuery{Kind: kindWorkflow, Scope: string(p)}) {
		var known known
		if err == nil && (workflow == "" || d.Name == workflow) {
			err = json.Unmarshal(d.Body, &known)
		}
		if err != nil {
			return nil, fmt.Errorf("branches of project %s: %w", p, err)
		}
		all = append(all, known.Branches...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// WorkflowStats sums up each workflow of the query.
func (in *Insights) WorkflowStats(ctx context.Context, q ci.RunQuery) ([]ci.Stats, error) {
	return in.stats(ctx, q, func(r ci.Run) []sample { return []sample{workflowSample(r)} })
}

// JobStats sums up each job of the query's workflow, or of all workflows.
func (in *Insights) JobStats(ctx context.Context, q ci.RunQuery) ([]ci.Stats, error) {
	return in.stats(ctx, q, jobSamples)
}

func (in *Insights) stats(ctx context.Context, q ci.RunQuery, samples func(ci.Run) []sample) ([]ci.Stats, error) {
	if q.To.IsZero() {
		q.To = in.now()
	}
	var order []string
	byName := map[string][]sample{}
	for r, err := range in.Runs(ctx, q) {
		if err != nil {
			return nil, err
		}
		for _, s := range samples(r) {
			if byName[s.name] == nil {
				order = append(order, s.name)
			}
			byName[s.name] = append(byName[s.name], s)
		}
	}
	slices.SortFunc(order, strings.Compare)
	all := make([]ci.Stats, 0, len(order))
	for _, name := range order {
		s := sum(byName[name])
		s.Name, s.From, s.To = name, q.From, q.To
		all = append(all, s)
	}
	return all, nil
}

// FlakyTests lists the tests of a project that gave different results for the
// same commit within the last [FlakyKept], the most flaky first.
func (in *Insights) FlakyTests(ctx context.Context, p ci.ProjectID) ([]ci.FlakyTest, error) {
	var all []ci.FlakyTest
	oldest := in.now().Add(-FlakyKept)
	for d, err := range in.docs.Docs(ctx, ci.DocQuery{Kind: kindFlaky, Scope: string(p), Limit: maxFlaky}) {
		var f ci.FlakyTest
		if err == nil {
			err = json.Unmarshal(d.Body, &f)
		}
		if err != nil {
			return nil, fmt.Errorf("flaky tests of project %s: %w", p, err)
		}
		if f.Last.After(oldest) {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b ci.FlakyTest) int { return b.Flakes - a.Flakes })
	return all, nil
}

// hidden reports whether an error only says that something has gone.
func hidden(err error) bool { return errors.Is(err, ci.ErrNotFound) }
