package ci_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// scheduled is a trigger by the clock.
func scheduled(branch string) ci.Trigger {
	tr := push(branch, "r1")
	tr.Source, tr.Schedule = ci.SourceSchedule, "nightly"
	return tr
}

func TestServer_AutoCancel(t *testing.T) {
	tag := push("", "r1")
	tag.Tag = "v1"
	off := shop
	off.AutoCancel = false
	tests := map[string]struct {
		project    ci.Project
		old, newer ci.Trigger
		canceled   bool
	}{
		"same branch":               {shop, push("topic", "r1"), push("topic", "r2"), true},
		"by API":                    {shop, push("topic", "r1"), ci.Trigger{Project: "shop", Branch: "topic", Revision: "r2", Source: ci.SourceAPI}, true},
		"another branch":            {shop, push("topic", "r1"), push("other", "r2"), false},
		"the default branch":        {shop, push("main", "r1"), push("main", "r2"), false},
		"tags":                      {shop, tag, tag, false},
		"a newer schedule":          {shop, push("topic", "r1"), scheduled("topic"), false},
		"an older schedule":         {shop, scheduled("topic"), push("topic", "r2"), false},
		"switched off":              {off, push("topic", "r1"), push("topic", "r2"), false},
		"a branch like another's":   {shop, push("topic", "r1"), push("topic2", "r2"), false},
		"a tag named like a branch": {shop, push("v1", "r1"), tag, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemStore(tt.project)
				s := ci.New(m, compiles(planned("a", "hold!approval")), ci.Config{})
				serve(t, s)
				old := trigger(t, s, tt.old)
				synctest.Wait()
				newer := trigger(t, s, tt.newer)
				synctest.Wait()
				w := workflowOf(t, m, old.ID)
				require.Equal(t, tt.canceled, w.Status == ci.Canceled, "old one is %s", w.Status)
				require.Equal(t, ci.Running, workflowOf(t, m, newer.ID).Status)
				if tt.canceled {
					require.Contains(t, w.Jobs[0].Reason, "pipeline 2 on topic is newer")
					require.Equal(t, ci.Actor{}, w.Canceled)
				}
			})
		})
	}
}

// A rerun is what somebody asked for: a push does not cancel it.
func TestServer_AutoCancelSparesReruns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(planned("a")), ci.Config{})
		serve(t, s)
		p := trigger(t, s, push("topic", "r1"))
		synctest.Wait()
		w := workflowOf(t, m, p.ID)
		finish(t, s, m, w.ID, "a", ci.Failed)
		again, err := s.Rerun(t.Context(), w.ID, ci.Rerun{}, bob)
		require.NoError(t, err)
		trigger(t, s, push("topic", "r2"))
		synctest.Wait()
		n, err := m.Workflow(t.Context(), again)
		require.NoError(t, err)
		require.Equal(t, ci.Running, n.Status)
	})
}

// The older pipeline may be compiled last; it is canceled all the same, even
// when the newest of the branch is a scheduled one or the store hiccups.
func TestServer_AutoCancelOvertaken(t *testing.T) {
	for _, hiccup := range []bool{false, true} {
		for _, nightly := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				m := newMemStore(shop)
				s := ci.New(m, ci.CompilerFunc(func(_ context.Context, _ ci.Project, p ci.Pipeline) (ci.Plan, error) {
					if p.Number == 1 {
						time.Sleep(10 * time.Second) // a slow fetch
					}
					return ci.Plan{Workflows: []ci.PlannedWorkflow{planned("a")}}, nil
				}), ci.Config{})
				serve(t, s)
				old := trigger(t, s, push("topic", "r1"))
				newer := trigger(t, s, push("topic", "r2"))
				if nightly {
					trigger(t, s, scheduled("topic"))
				}
				synctest.Wait()
				require.Equal(t, ci.Running, workflowOf(t, m, newer.ID).Status)
				if hiccup {
					once := true
					m.failing(func(method string) error {
						if method == "Pipelines" && once {
							once = false
							return errors.New("disk I/O error")
						}
						return nil
					})
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Equal(t, ci.Canceled, workflowOf(t, m, old.ID).Status, "hiccup %v, nightly %v", hiccup, nightly)
				require.Equal(t, ci.Running, workflowOf(t, m, newer.ID).Status)
			})
		}
	}
}
