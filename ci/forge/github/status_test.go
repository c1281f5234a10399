package github_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
)

// plan gives a pipeline a workflow of a build job, a hold, and a job behind it.
func (w *world) plan(id ci.PipelineID) ci.WorkflowID {
	w.t.Helper()
	var wid ci.WorkflowID
	require.NoError(w.t, w.db.Start(w.t.Context(), id, func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
		wf, events := ci.NewWorkflow(*p, "acme", ci.PlannedWorkflow{Name: "ship", Jobs: []ci.PlannedJob{
			{Name: "build", JobSpec: ci.JobSpec{Executor: ci.Executor{Kind: ci.ExecutorDocker}}},
			{Name: "hold", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "build"}}},
			{Name: "deploy", Requires: []ci.Requirement{{Job: "hold"}}},
		}}, p.Trigger.Actor, time.Now())
		wid = wf.ID
		return []ci.Workflow{wf}, events, nil
	}))
	return wid
}

// report reports on the current attempt of a job.
func (w *world) report(id ci.WorkflowID, job string, s ci.Status) {
	w.t.Helper()
	require.NoError(w.t, w.db.Update(w.t.Context(), id, func(wf *ci.Workflow) ([]ci.Event, error) {
		return wf.Report(ci.Report{Workflow: id, Task: wf.JobNamed(job).ID.Task(0), Epoch: 1, Status: s}, time.Now())
	}))
}

func (w *world) approve(id ci.WorkflowID) {
	w.t.Helper()
	require.NoError(w.t, w.db.Update(w.t.Context(), id, func(wf *ci.Workflow) ([]ci.Event, error) {
		return wf.Approve(wf.JobNamed("hold").ID, ci.Actor{Login: "ada"}, time.Now())
	}))
}

// newest returns the last status of every context as "state: description".
func newest(all []forgetest.Status) map[string]string {
	out := map[string]string{}
	for _, s := range all {
		out[s.Context] = s.State + ": " + s.Description
	}
	return out
}

// begin pushes and returns the pipeline of the push.
func (w *world) begin(r *forgetest.Repo, message string) (sha string, id ci.PipelineID) {
	w.t.Helper()
	sha = r.Push("main", message, nil)
	for p, err := range w.db.Pipelines(w.t.Context(), ci.Query{Limit: 1}) {
		require.NoError(w.t, err)
		require.Equal(w.t, sha, p.Trigger.Revision)
		id = p.ID
	}
	return sha, id
}

// settle lets everything that is not waiting for more than a minute happen.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func TestStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *github.Config) {
			c.Status.TargetURL = func(p ci.Project, e ci.Event) string { return "https://ci.example.com/" + p.Slug + "/" + e.Name }
		})
		r, p := w.follow("acme/shop")
		defer w.run()()
		sha, id := w.begin(r, "one")
		wid := w.plan(id)
		settle()
		require.Equal(t, map[string]string{"ci/circleci: build": "pending: Your tests are queued behind your running builds"}, newest(r.Statuses(sha)))
		w.report(wid, "build", ci.Running)
		settle()
		require.Equal(t, "pending: CircleCI is running your tests", newest(r.Statuses(sha))["ci/circleci: build"])
		require.Equal(t, "https://ci.example.com/gh/acme/shop/build", r.Statuses(sha)[0].TargetURL)
		w.report(wid, "build", ci.Success)
		settle()
		require.Equal(t, map[string]string{
			"ci/circleci: build":     "success: Your tests passed on CircleCI!",
			"ci/circleci: ship/hold": "pending: Your job is on hold on CircleCI!",
		}, newest(r.Statuses(sha)))
		w.approve(wid)
		w.report(wid, "deploy", ci.Running)
		w.report(wid, "deploy", ci.Failed)
		settle()
		require.Equal(t, map[string]string{
			"ci/circleci: build":     "success: Your tests passed on CircleCI!",
			"ci/circleci: ship/hold": "success: Your tests passed on CircleCI!",
			"ci/circleci: deploy":    "failure: Your tests failed on CircleCI",
		}, newest(r.Statuses(sha)))
		n := len(r.Statuses(sha))

		// A configuration that is wrong, and what a long reason becomes.
		sha, id = w.begin(r, "two")
		reason := strings.Repeat("ä", 200) + "\nsecond line"
		require.NoError(t, w.db.Start(t.Context(), id, func(p *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
			p.State = ci.PipelineError
			return nil, []ci.Event{{Time: time.Now(), Kind: ci.PipelineErrored, Project: p.Trigger.Project, Pipeline: p.ID, Reason: reason}}, nil
		}))
		settle()
		require.Equal(t, map[string]string{"ci/circleci: Build Error": "failure: " + strings.Repeat("ä", 139) + "…"}, newest(r.Statuses(sha)))

		// A project that wants none, and a canceled workflow.
		w.set(p, ci.Settings{NoStatus: true})
		sha, id = w.begin(r, "three")
		w.plan(id)
		settle()
		require.Empty(t, r.Statuses(sha))
		w.set(p, ci.Settings{})
		sha, id = w.begin(r, "four")
		wid = w.plan(id)
		settle()
		require.NoError(t, w.db.Update(t.Context(), wid, func(wf *ci.Workflow) ([]ci.Event, error) {
			return wf.Cancel(ci.Actor{}, "", time.Now())
		}))
		settle()
		require.Equal(t, map[string]string{"ci/circleci: build": "error: Your tests were canceled on CircleCI"}, newest(r.Statuses(sha)),
			"jobs that were never announced are not told of")

		// A restart tells nothing again.
		w.reopen()
		stop := w.run()
		settle()
		stop()
		require.Len(t, r.Statuses(w.pipelines()[0].Revision), n)
	})
}

// TestStatusPrefix: branch protection may name another one.
func TestStatusPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *github.Config) { c.Status.Prefix = "ci/circleci_enterprise" })
		r, _ := w.follow("acme/shop")
		defer w.run()()
		sha, id := w.begin(r, "one")
		w.plan(id)
		settle()
		require.Contains(t, newest(r.Statuses(sha)), "ci/circleci_enterprise: build")
	})
}

// TestP26_StatusesEndRight: a day of faults of every kind; whatever the code
// host did, the last status that it shows is the final one.
func TestP26_StatusesEndRight(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			r, _ := w.follow("acme/shop")
			chance, pace := rand.New(rand.NewPCG(seed, 26)), rand.New(rand.NewPCG(seed, 62))
			var mu sync.Mutex // guards chance, limited and early
			end := time.Now().Add(23 * time.Hour)
			var limited time.Time
			early := 0
			w.fake.SetFault(func(req *http.Request) forgetest.Fault {
				mu.Lock()
				defer mu.Unlock()
				now := time.Now()
				if !strings.Contains(req.URL.Path, "/statuses") || now.After(end) {
					return forgetest.Fault{}
				}
				if now.Before(limited) {
					early++
				}
				switch chance.IntN(6) {
				case 0:
					return forgetest.Fault{Status: 502, Done: true} // it took effect all the same
				case 1, 2:
					return forgetest.Fault{Status: 500}
				case 3:
					limited = now.Add(10 * time.Minute)
					return forgetest.Fault{Status: 403 + 26*chance.IntN(2), RetryAfter: 10 * time.Minute}
				}
				return forgetest.Fault{}
			})
			stop := w.run()
			defer func() { stop() }()
			var shas []string
			for i := range 10 {
				sha, id := w.begin(r, fmt.Sprint("commit ", i))
				shas = append(shas, sha)
				wid := w.plan(id)
				time.Sleep(time.Duration(pace.IntN(3600)) * time.Second)
				w.report(wid, "build", ci.Running)
				time.Sleep(time.Duration(pace.IntN(3600)) * time.Second)
				w.report(wid, "build", ci.Success)
				if i%3 == 0 { // the server is killed now and then
					stop()
					w.reopen()
					mu.Lock()
					limited = time.Time{} // a new process has to be told again
					mu.Unlock()
					stop = w.run()
				}
			}
			time.Sleep(25 * time.Hour)
			synctest.Wait()
			for _, sha := range shas {
				all := newest(r.Statuses(sha))
				require.Equal(t, "success: Your tests passed on CircleCI!", all["ci/circleci: build"], "seed %d", seed)
				require.Equal(t, "pending: Your job is on hold on CircleCI!", all["ci/circleci: ship/hold"])
			}
			require.Zero(t, early, "calls before the limit was over")
		})
	}
}

// TestStatusLimit: the code host takes a thousand of one commit and context.
func TestStatusLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, _ := w.follow("acme/shop")
		defer w.run()()
		sha, id := w.begin(r, "one")
		wid := w.plan(id)
		at := func(epoch int64, status ci.Status) {
			require.NoError(t, w.db.Update(t.Context(), wid, func(wf *ci.Workflow) ([]ci.Event, error) {
				return wf.Report(ci.Report{Workflow: wid, Task: wf.JobNamed("build").ID.Task(0), Epoch: epoch, Status: status}, time.Now())
			}))
			time.Sleep(6 * time.Second)
		}
		for i := range int64(600) { // an agent that is lost again and again
			at(i+1, ci.Running)
			at(i+1, ci.Queued)
		}
		at(601, ci.Failed)
		settle()
		all := r.Statuses(sha)
		require.Greater(t, len(all), 900)
		require.Less(t, len(all), 1000)
		require.Equal(t, "failure", all[len(all)-1].State, "there is room for the outcome")
	})
}
