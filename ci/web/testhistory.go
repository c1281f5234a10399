package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// How far the history of a test is looked for, and how much of it is shown.
const (
	historyRuns = 30
	historyDays = 30
)

// testBody is what the history of one test is shown by.
type testBody struct {
	Job             ci.Job
	Classname, Name string
	Runs            []testRun // the newest first
	Failed          int
	Bars            chart
}

// A testRun is a test in one run of a job.
type testRun struct {
	ci.Test
	Run  ci.Run
	Job  ci.JobRun
	Path string // of the job
}

// testHistory serves how a test of a job did in the newest runs of that job.
func (s *site) testHistory(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	if s.cfg.Insights == nil {
		return absent{"history of tests"}
	}
	ctx, f := r.Context(), r.URL.Query()
	b := testBody{Job: at.job, Classname: f.Get("class"), Name: f.Get("name")}
	if err := s.fillHistory(ctx, &b, at); err != nil {
		return err
	}
	if len(b.Runs) == 0 {
		return fmt.Errorf("test %.100q: %w", b.Name, ci.ErrNotFound)
	}
	b.Bars = testChart(b.Runs)
	p, err := s.read.Pipeline(ctx, at.workflow.Pipeline)
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "test", view{
		Title: show(cmp.Or(b.Name, b.Classname)), Body: b,
		Crumbs: s.jobCrumbs(at, p, crumb{show(at.job.Name), JobPath(at.project, at.job.Number)}, crumb{"Test", ""}),
	})
}

// fillHistory looks for the test in the results of the job and of the newest
// runs of the job before it, on whatever branch. Insights know the runs; the
// results are the database's.
func (s *site) fillHistory(ctx context.Context, b *testBody, at jobPlace) error {
	here := ci.JobRun{ID: at.job.ID, Name: at.job.Name, Number: at.job.Number}
	p, err := s.read.Pipeline(ctx, at.workflow.Pipeline)
	if err != nil {
		return err
	}
	now := ci.Run{Branch: ref(p.Trigger), Revision: p.Trigger.Revision, Stopped: at.job.Stopped}
	if err := s.addRun(ctx, b, at.project, now, here); err != nil {
		return err
	}
	looked := 1
	q := ci.RunQuery{Project: at.project.ID, Workflow: at.workflow.Name, From: time.Now().AddDate(0, 0, -historyDays)}
	for run, err := range s.cfg.Insights.Runs(ctx, q) {
		if err != nil {
			return err
		}
		for _, j := range run.Jobs {
			if j.Name != at.job.Name || j.ID == at.job.ID || j.Tests.Total() == 0 {
				continue
			}
			if looked++; looked > historyRuns {
				return nil
			}
			if err := s.addRun(ctx, b, at.project, run, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// addRun adds how the test did in one job, if it is among its results.
func (s *site) addRun(ctx context.Context, b *testBody, p ci.Project, run ci.Run, j ci.JobRun) error {
	all, err := s.read.Tests(ctx, j.ID)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return err
	}
	for _, t := range all {
		if t.Name == b.Name && t.Classname == b.Classname {
			b.Runs = append(b.Runs, testRun{t, run, j, JobPath(p, j.Number)})
			if bad(t) {
				b.Failed++
			}
			return nil
		}
	}
	return nil
}
