package ci_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// A job that may not use its context does not run; the others do. Who counts
// is who started the workflow or, behind an approval, who approved.
func TestSEC_ContextsAreAskedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allowed := []string{"alice"}
		var asked []string
		may := func(_ context.Context, n ci.Need) error {
			asked = append(asked, n.Job+" "+n.Actor.Login)
			if len(n.Contexts) > 0 && !slices.Contains(allowed, n.Actor.Login) {
				return fmt.Errorf("context deploy is not for %s: %w", n.Actor, ci.ErrDenied)
			}
			return nil
		}
		plan := planned("a", "b: a", "free", "hold!approval", "c: hold")
		for i := range plan.Jobs {
			if n := plan.Jobs[i].Name; n == "a" || n == "c" {
				plan.Jobs[i].Contexts = []string{"deploy"}
			}
		}
		m := newMemStore(shop)
		s := ci.New(m, compiles(plan), ci.Config{Allow: may, Secrets: func(ctx context.Context, n ci.Need) ([]ci.Var, []ci.SSHKey, error) {
			return nil, nil, may(ctx, n)
		}})
		serve(t, s)
		tr := push("main", "r1")
		tr.Actor = ci.Actor{Kind: ci.ActorUser, Login: "mallory"}
		p := trigger(t, s, tr)
		synctest.Wait()
		require.Equal(t, []string{"a mallory"}, asked, "at the start only what waits for no approval")
		w := workflowOf(t, m, p.ID)
		require.Equal(t, ci.Unauthorized, w.JobNamed("a").Status)
		require.Empty(t, plan.Jobs[0].Refused, "what the compiler returned is not changed")
		require.Equal(t, "context deploy is not for mallory", w.JobNamed("a").Reason)
		require.Equal(t, ci.NotRun, w.JobNamed("b").Status)
		require.Equal(t, ci.Queued, w.JobNamed("free").Status)

		require.NoError(t, s.Approve(t.Context(), w.ID, w.JobNamed("hold").ID, ci.Actor{Kind: ci.ActorUser, Login: "alice"}))
		c := workflowOf(t, m, p.ID).JobNamed("c")
		work, err := s.Work(t.Context(), ci.Lease{Task: c.ID.Task(0), Epoch: 1})
		require.NoError(t, err)
		require.Empty(t, work.Refused, "the approver counts")

		allowed = nil // taken away before the job starts
		work, err = s.Work(t.Context(), ci.Lease{Task: c.ID.Task(0), Epoch: 1})
		require.NoError(t, err)
		require.Equal(t, "context deploy is not for alice", work.Refused)
		require.NoError(t, s.Report(t.Context(), ci.Report{Task: c.ID.Task(0), Epoch: 1, Status: ci.Unauthorized, Reason: work.Refused}))
		finish(t, s, m, w.ID, "free", ci.Success)
		w = workflowOf(t, m, p.ID)
		require.Equal(t, ci.Unauthorized, w.Status)
		require.Equal(t, work.Refused, w.JobNamed("c").Reason)
	})
}
