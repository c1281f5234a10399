package citest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

var changeClauses = []clause[ci.Store]{
	{
		"one change at a time",
		"A store lets one change at a time touch a workflow: none is lost among many at once.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			var writers sync.WaitGroup
			errs := make([]error, 40)
			for i := range errs {
				writers.Go(func() {
					errs[i] = s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
						u.Jobs[0].Attempt++
						return []ci.Event{{Time: now(), Kind: ci.JobRetried, Workflow: u.ID}}, nil
					})
				})
			}
			writers.Wait()
			require.NoError(t, errors.Join(errs...))
			require.Equal(t, 41, load(t, s, w.ID).Jobs[0].Attempt)
		},
	},
	{
		"each on its own among many at once",
		"Changes that fail undo nothing but themselves, however many others are written at the same time.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			bad := errors.New("bad")
			var writers sync.WaitGroup
			errs, ids := make([]error, 60), make([]ci.PipelineID, 60)
			for i := range errs {
				q := pipeline(p.ID, "main")
				ids[i] = q.ID
				_, _, err := s.Create(t.Context(), q)
				require.NoError(t, err)
			}
			for i := range errs {
				writers.Go(func() {
					errs[i] = s.Start(t.Context(), ids[i], func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
						w, events := ci.NewWorkflow(*q, p.Org, planned().Workflows[0], alice, now())
						q.State = ci.PipelineReady
						if i%3 == 0 {
							return []ci.Workflow{w}, events, bad
						}
						return []ci.Workflow{w}, events, nil
					})
				})
			}
			writers.Wait()
			for i, id := range ids {
				workflows, err := s.Workflows(t.Context(), id)
				require.NoError(t, err)
				if i%3 == 0 {
					require.True(t, errs[i] == bad, "got %v", errs[i]) //nolint:errorlint // as it is
					require.Empty(t, workflows)
				} else {
					require.NoError(t, errs[i])
					require.Len(t, workflows, 1)
				}
			}
			last, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			require.Len(t, all(t, s.Events(t.Context(), 0)), int(last))
			require.Equal(t, uint64(40*2), last)
		},
	},
	{
		"a panic in change",
		"A change that panics, or ends its goroutine, writes nothing and holds up no one.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			for _, end := range []func(){func() { panic("boom") }, runtime.Goexit} {
				var writers sync.WaitGroup
				for range 8 { // some share the moment with others
					writers.Go(func() {
						defer func() { _ = recover() }()
						_ = s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
							u.Jobs[0].Status = ci.Failed
							end()
							return nil, nil
						})
					})
					writers.Go(func() {
						_ = s.Update(t.Context(), w.ID, func(*ci.Workflow) ([]ci.Event, error) {
							return []ci.Event{{Time: now(), Kind: ci.WorkflowChanged}}, nil
						})
					})
				}
				writers.Wait()
			}
			same(t, w, load(t, s, w.ID))
			require.Len(t, all(t, s.Events(t.Context(), 3)), 16)
		},
	},
	{
		"reading inside change",
		"A change may read from the store; it sees what is committed.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			w := start(t, s, project(t, s, "shop"), "main")
			err := s.Update(t.Context(), w.ID, func(u *ci.Workflow) ([]ci.Event, error) {
				u.Org = "changed"
				same(t, w, load(t, s, w.ID))
				return []ci.Event{{Time: now(), Kind: ci.WorkflowChanged}}, nil
			})
			require.NoError(t, err)
			require.Equal(t, "changed", load(t, s, w.ID).Org)
		},
	},
	{
		"no aliasing",
		"Values given and returned are copies: what their holder does to them later does not reach the store.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			q := pipeline(p.ID, "main")
			q.Trigger.PullRequests, q.Trigger.Parameters = []string{"1"}, map[string]any{"a": "1"}
			kept, _, err := s.Create(t.Context(), q)
			require.NoError(t, err)
			plan := planned()
			var held, made ci.Workflow
			err = s.Start(t.Context(), q.ID, func(q *ci.Pipeline) ([]ci.Workflow, []ci.Event, error) {
				held, _ = ci.NewWorkflow(*q, p.Org, plan.Workflows[0], alice, now())
				q.Plan = &plan
				return []ci.Workflow{held}, nil, nil
			})
			require.NoError(t, err)
			require.Zero(t, held.Jobs[0].Number, "the caller's own value is left alone")
			before, made := load(t, s, held.ID), load(t, s, held.ID)
			kept.Trigger.PullRequests[0], kept.Trigger.Parameters["a"] = "2", "2"
			q.Trigger.PullRequests[0], q.Trigger.Parameters["a"] = "3", "3"
			plan.Workflows[0].Jobs[0].Steps[0].Command = "rm"
			held.Jobs[0].Name, held.Jobs[0].Tasks[0].Node = "x", "x"
			made.Jobs[1].Requires[0].Job, made.Jobs[0].Tasks[0].Node = "x", "x"
			same(t, before, load(t, s, held.ID))
			got, err := s.Pipeline(t.Context(), q.ID)
			require.NoError(t, err)
			require.Equal(t, []string{"1"}, got.Trigger.PullRequests)
			require.Equal(t, map[string]any{"a": "1"}, got.Trigger.Parameters)
			gotPlan, err := s.Plan(t.Context(), q.ID)
			require.NoError(t, err)
			require.Equal(t, "make build", gotPlan.Workflows[0].Jobs[0].Steps[0].Command)
		},
	},
	{
		"an ended context",
		"A call whose context has ended returns its error and writes nothing; so does one that waits for its turn.",
		func(t *testing.T, open func(*testing.T) ci.Store) {
			s := open(t)
			p := project(t, s, "shop")
			w := start(t, s, p, "main")
			last, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			q := pipeline(p.ID, "main")
			_, _, err = s.Create(ended, q, created(q))
			require.ErrorIs(t, err, context.Canceled)
			_, err = s.Workflow(ended, w.ID)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, failure(s.Events(ended, 0)), context.Canceled)

			waiting, cancel := context.WithCancel(t.Context())
			var waiter sync.WaitGroup
			err = s.Update(t.Context(), w.ID, func(*ci.Workflow) ([]ci.Event, error) {
				waiter.Go(func() { _, _, err = s.Create(waiting, q, created(q)) })
				cancel() // before or while it waits
				waiter.Wait()
				require.ErrorIs(t, err, context.Canceled)
				return nil, nil
			})
			require.NoError(t, err)
			after, err := s.LastEvent(t.Context())
			require.NoError(t, err)
			require.Equal(t, last, after)
		},
	},
}
