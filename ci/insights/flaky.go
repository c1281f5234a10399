package insights

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// FlakyKept is for how long a test that flaked counts as flaky.
const FlakyKept = 14 * 24 * time.Hour

// The tests of a job that a run remembers, and the size of a failure's message
// in it.
const (
	keptFailures = 50
	keptSlowest  = 10
	keptMessage  = 200
)

// maxFlaked is how many tests may flake in one run and are still remembered,
// and maxFlaky how many are listed of a project.
const (
	maxFlaked = 1000
	maxFlaky  = 10_000
)

// lookBack is how many earlier runs of the workflow are looked at for one of
// the same commit.
const lookBack = 20

// runOf returns the run of a workflow that has ended, and all test results of
// its own jobs by name of the job.
func (in *Insights) runOf(ctx context.Context, w *ci.Workflow, p ci.Pipeline) (ci.Run, map[string][]ci.Test, error) {
	r := ci.Run{
		Workflow: w.ID, Pipeline: p.ID, Number: p.Number, Name: w.Name, Branch: p.Trigger.Branch, Revision: p.Trigger.Revision,
		Status: w.Status, Created: w.Created, Stopped: w.Stopped,
	}
	tests := map[string][]ci.Test{}
	for _, j := range w.Jobs {
		r.Approval = r.Approval || j.Type == ci.JobApproval
		if j.Type != ci.JobBuild || j.Kept {
			continue
		}
		run := ci.JobRun{
			ID: j.ID, Name: j.Name, Number: j.Number, Status: j.Status, Class: j.Class, Parallelism: j.Parallelism,
			Queued: j.Queued, Started: j.Started, Stopped: j.Stopped,
		}
		results, err := in.read.Tests(ctx, j.ID)
		if err != nil && !hidden(err) {
			return r, nil, fmt.Errorf("tests of job %s: %w", j.ID, err)
		}
		tests[j.Name] = results
		run.Tests, run.Failures, run.Slowest = digest(results)
		r.Jobs = append(r.Jobs, run)
	}
	return r, tests, nil
}

// digest counts results and returns the failures and the slowest, a few each.
func digest(tests []ci.Test) (c ci.TestCounts, failures, slowest []ci.Test) {
	for _, t := range tests {
		switch t.Result {
		case "success":
			c.Success++
		case "skipped":
			c.Skipped++
		case "error":
			c.Error++
		default:
			c.Failure++
		}
		if failed(t) && len(failures) < keptFailures {
			failures = append(failures, brief(t))
		}
	}
	byTime := slices.Clone(tests)
	slices.SortStableFunc(byTime, func(a, b ci.Test) int {
		switch {
		case a.Seconds > b.Seconds:
			return -1
		case a.Seconds < b.Seconds:
			return 1
		}
		return 0
	})
	for _, t := range byTime[:min(keptSlowest, len(byTime))] {
		if t.Seconds > 0 {
			t.Message = ""
			slowest = append(slowest, t)
		}
	}
	return c, failures, slowest
}

func failed(t ci.Test) bool { return t.Result == "failure" || t.Result == "error" }

// brief cuts a failure's message short.
func brief(t ci.Test) ci.Test {
	if r := []rune(t.Message); len(r) > keptMessage {
		t.Message = string(r[:keptMessage]) + "…"
	}
	return t
}

// A testID tells tests of a job apart.
type testID struct{ job, classname, name string }

func idOf(job string, t ci.Test) testID { return testID{job, t.Classname, t.Name} }

// flakes finds the tests of the workflow whose results differ from those of an
// earlier attempt at the same commit.
func (b *batch) flakes(ctx context.Context, w *ci.Workflow, r ci.Run, tests map[string][]ci.Test) error {
	now := map[testID]ci.Test{}
	jobs := map[string]ci.JobRun{}
	for _, j := range r.Jobs {
		jobs[j.Name] = j
		for _, t := range tests[j.Name] {
			now[idOf(j.Name, t)] = t
		}
	}
	if len(now) == 0 {
		return nil
	}
	earlier, err := b.earlier(ctx, w, r)
	if err != nil {
		return err
	}
	flaked := map[testID]ci.Test{}
	for _, job := range earlier {
		before, err := b.in.read.Tests(ctx, job.ID)
		if err != nil && !hidden(err) {
			return err
		}
		for _, old := range before {
			id := idOf(job.Name, old)
			t, again := now[id]
			if !again || old.Result == "skipped" || t.Result == "skipped" || failed(old) == failed(t) {
				continue
			}
			if failed(old) {
				t = brief(old)
			}
			flaked[id] = t
		}
	}
	if len(flaked) > maxFlaked {
		b.in.log.Warn("insights leave out flaky tests, so many are no fault of tests", "project", w.Project, "workflow", w.ID, "tests", len(flaked))
		return nil
	}
	for id, t := range flaked {
		if err := b.flake(ctx, w.Project, id, t, r, jobs[id.job]); err != nil {
			return err
		}
	}
	return nil
}

// An attempt is an earlier run of a job at the same commit.
type attempt struct {
	ID   ci.JobID
	Name string
}

// earlier lists the jobs of the same commit that ended before: past attempts
// within the workflow, and those of its latest runs.
func (b *batch) earlier(ctx context.Context, w *ci.Workflow, r ci.Run) ([]attempt, error) {
	var all []attempt
	for _, j := range w.Past {
		if j.Type == ci.JobBuild {
			all = append(all, attempt{j.ID, j.Name})
		}
	}
	scope := scopeOf(w.Project, w.Name)
	add := func(old ci.Run) {
		if old.Revision != r.Revision || old.Workflow == r.Workflow {
			return
		}
		for _, j := range old.Jobs {
			all = append(all, attempt{j.ID, j.Name})
		}
	}
	for _, a := range b.added {
		if a.scope == scope {
			add(a.run)
		}
	}
	find := ci.DocQuery{Kind: kindRun, Scope: scope, Newest: true, Limit: lookBack}
	for d, err := range b.in.docs.Docs(ctx, find) {
		var old ci.Run
		if err == nil {
			err = json.Unmarshal(d.Body, &old)
		}
		if err != nil {
			return nil, err
		}
		add(old)
	}
	return all, nil
}

// flake counts one flake of a test.
func (b *batch) flake(ctx context.Context, p ci.ProjectID, id testID, t ci.Test, r ci.Run, j ci.JobRun) error {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", p, r.Name, id.job, id.classname, id.name))
	key := fmt.Sprintf("%x", sum[:16])
	f := b.flaky[key]
	if f == nil {
		f = new(ci.FlakyTest)
		d, err := b.in.docs.Doc(ctx, kindFlaky, key)
		if err == nil {
			err = json.Unmarshal(d.Body, f)
		}
		if err != nil && !hidden(err) {
			return err
		}
		if b.owner == nil {
			b.owner = map[string]ci.ProjectID{}
		}
		b.flaky[key], b.owner[key] = f, p
	}
	if f.WorkflowID == r.Workflow { // told again after a crash, or ended a second time
		return nil
	}
	f.Test, f.Workflow, f.Job, f.WorkflowID = t, r.Name, id.job, r.Workflow
	f.JobNumber, f.PipelineNumber, f.Last = j.Number, r.Number, r.Stopped
	f.Flakes++
	return nil
}
