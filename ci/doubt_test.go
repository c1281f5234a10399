package ci_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// A deafStore does what it is told, and sometimes the answer is lost.
type deafStore struct {
	*memStore
	deaf atomic.Bool
}

var errNoAnswer = errors.New("connection reset")

func (d *deafStore) Create(ctx context.Context, p ci.Pipeline, events ...ci.Event) (ci.Pipeline, bool, error) {
	kept, created, err := d.memStore.Create(ctx, p, events...)
	if err == nil && d.deaf.Load() {
		return ci.Pipeline{}, false, errNoAnswer
	}
	return kept, created, err
}

func (d *deafStore) Start(ctx context.Context, id ci.PipelineID, change func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error)) error {
	err := d.memStore.Start(ctx, id, change)
	if err == nil && d.deaf.Load() {
		return errNoAnswer
	}
	return err
}

// A pipeline whose commit was not answered is there. It must not wait for the
// next start of the server, whether or not the client tries again.
func TestP1_P17_TriggerWithoutAnswer(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := &deafStore{memStore: newMemStore(shop)}
			d.deaf.Store(true)
			s := ci.New(d, compiles(planned("a")), ci.Config{})
			serve(t, s)
			synctest.Wait() // it has looked for what was left before
			tr := push("main", "r1")
			tr.Key = "delivery-1"
			_, err := s.Trigger(t.Context(), tr)
			require.ErrorIs(t, err, errNoAnswer)
			d.deaf.Store(false)
			if again {
				trigger(t, s, tr)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Len(t, d.pipelines, 1)
			require.Equal(t, ci.PipelineReady, d.pipelines[0].State)
			require.Len(t, d.workflows, 1)
		})
	}
}

func TestP1_P17_ContinueWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deafStore{memStore: newMemStore(shop)}
		s := ci.New(d, ci.CompilerFunc(setups), ci.Config{})
		serve(t, s)
		p := trigger(t, s, push("main", "r1"))
		synctest.Wait()
		plan, err := d.Plan(t.Context(), p.ID)
		require.NoError(t, err)
		d.deaf.Store(true)
		err = s.Continue(t.Context(), plan.Key, ci.Continuation{Source: "build"})
		require.ErrorIs(t, err, errNoAnswer)
		d.deaf.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, ci.PipelineReady, d.pipelines[0].State)
	})
}
