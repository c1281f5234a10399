package ci_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// What was accepted before the start is compiled, the oldest first, however
// much it is, and nothing twice.
func TestP1_RestartPlansWhatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		before := ci.New(m, compiles(), ci.Config{}) // never runs
		for i := range 1100 {
			trigger(t, before, push("main", fmt.Sprint("r", i)))
		}
		var order []int64
		s := ci.New(m, ci.CompilerFunc(func(_ context.Context, _ ci.Project, p ci.Pipeline) (ci.Plan, error) {
			order = append(order, p.Number)
			return ci.Plan{Workflows: []ci.PlannedWorkflow{planned("a")}}, nil
		}), ci.Config{Planners: 1})
		serve(t, s)
		synctest.Wait()
		require.Len(t, order, 1100)
		for i, n := range order {
			require.Equal(t, int64(i+1), n)
		}
		require.Len(t, m.workflows, 1100)
		p, err := m.Pipeline(t.Context(), m.pipelines[0].ID)
		require.NoError(t, err)
		require.Equal(t, ci.PipelineReady, p.State)
	})
}

// A server that is stopped while it compiles leaves the pipeline to the next.
func TestP14_StopWhileCompiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		hangs := ci.CompilerFunc(func(ctx context.Context, _ ci.Project, _ ci.Pipeline) (ci.Plan, error) {
			<-ctx.Done()
			return ci.Plan{}, ctx.Err()
		})
		s := ci.New(m, hangs, ci.Config{})
		stop := serve(t, s)
		p := trigger(t, s, push("main", "r1"))
		synctest.Wait()
		stop()
		kept, err := m.Pipeline(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, ci.PipelinePending, kept.State)
		serve(t, ci.New(m, compiles(planned("a")), ci.Config{}))
		synctest.Wait()
		require.Equal(t, ci.Running, workflowOf(t, m, p.ID).Status)
	})
}

// Two servers on one store: each pipeline is started once.
func TestP2_TwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		first := ci.New(m, compiles(), ci.Config{})
		for i := range 40 {
			trigger(t, first, push("main", fmt.Sprint("r", i)))
		}
		for range 2 {
			serve(t, ci.New(m, compiles(planned("a")), ci.Config{}))
		}
		synctest.Wait()
		require.Len(t, m.workflows, 40)
	})
}

// An error of the configuration is final, and each problem stands alone.
func TestServer_CompileErrors(t *testing.T) {
	tests := map[string]struct {
		err  error
		want []string
	}{
		"one":      {fmt.Errorf("config.yml:3:1: no such job: %w", ci.ErrInvalid), []string{"config.yml:3:1: no such job"}},
		"no file":  {fmt.Errorf("config of r1: %w", ci.ErrNotFound), []string{"config of r1: not found"}},
		"several":  {errors.Join(fmt.Errorf("1:1: a: %w", ci.ErrInvalid), fmt.Errorf("2:1: b: %w", ci.ErrInvalid)), []string{"1:1: a", "2:1: b"}},
		"two in a": {fmt.Errorf("both %w and %w", ci.ErrInvalid, ci.ErrNotFound), []string{"both invalid and not found"}},
		"silent":   {silent{}, []string{""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemStore(shop)
				tries := 0
				s := ci.New(m, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
					tries++
					return ci.Plan{}, tt.err
				}), ci.Config{})
				serve(t, s)
				synctest.Wait() // else it may be found pending, too, and compiled twice
				p := trigger(t, s, push("main", "r1"))
				synctest.Wait()
				kept, err := m.Pipeline(t.Context(), p.ID)
				require.NoError(t, err)
				require.Equal(t, ci.PipelineError, kept.State)
				require.Equal(t, tt.want, kept.Errors)
				require.Equal(t, 1, tries)
				last := m.events[len(m.events)-1]
				require.Equal(t, ci.PipelineErrored, last.Kind)
				require.Equal(t, p.ID, last.Pipeline)
				require.Equal(t, p.Number, last.Number)
				require.Equal(t, tt.want[0], last.Reason)
			})
		})
	}
}

// silent is an error without a text.
type silent struct{}

func (silent) Error() string { return "" }
func (silent) Unwrap() error { return ci.ErrInvalid }

// A fault of the surroundings is tried again, with growing pauses, and then
// becomes the pipeline's error. Meanwhile the others are compiled.
func TestServer_CompilerFaults(t *testing.T) {
	for _, faults := range []int{1, 4, 5, 100} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemStore(shop)
			var mu sync.Mutex
			tries := map[int64]int{}
			s := ci.New(m, ci.CompilerFunc(func(_ context.Context, _ ci.Project, p ci.Pipeline) (ci.Plan, error) {
				mu.Lock()
				defer mu.Unlock()
				tries[p.Number]++
				if p.Trigger.Branch == "broken" && tries[p.Number] <= faults {
					return ci.Plan{}, errors.New("host is away")
				}
				return ci.Plan{Workflows: []ci.PlannedWorkflow{planned("a")}}, nil
			}), ci.Config{})
			serve(t, s)
			synctest.Wait()
			var broken []ci.Pipeline
			for range 8 { // more than there are planners
				broken = append(broken, trigger(t, s, push("broken", "r1")))
			}
			good := trigger(t, s, push("main", "r2"))
			synctest.Wait()
			require.Equal(t, ci.Running, workflowOf(t, m, good.ID).Status, "waits for nobody")
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, p := range broken {
				kept, err := m.Pipeline(t.Context(), p.ID)
				require.NoError(t, err)
				if faults < 5 {
					require.Equal(t, ci.PipelineReady, kept.State)
					require.Equal(t, faults+1, tries[p.Number])
				} else {
					require.Equal(t, ci.PipelineError, kept.State)
					require.Equal(t, []string{"host is away"}, kept.Errors)
					require.Equal(t, 5, tries[p.Number])
				}
			}
		})
	}
}

// A store that fails is asked again until it works, and its faults are not
// taken for the compiler's.
func TestP17_StoreFaultsWhilePlanning(t *testing.T) {
	for _, method := range []string{"Pipeline", "Project", "Start", "Open"} {
		for _, faults := range []int{1, 30} {
			synctest.Test(t, func(t *testing.T) {
				m := newMemStore(shop)
				var compiled atomic.Int32
				s := ci.New(m, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
					if compiled.Add(1) == 1 {
						return ci.Plan{}, errors.New("one hiccup of the compiler")
					}
					return ci.Plan{Workflows: []ci.PlannedWorkflow{planned("a")}}, nil
				}), ci.Config{})
				p := trigger(t, s, push("topic", "r1"))
				left := faults
				m.failing(func(called string) error {
					if called != method || left == 0 {
						return nil
					}
					left--
					return errors.New("disk I/O error")
				})
				serve(t, s)
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Zero(t, left, "%s", method)
				require.Equal(t, ci.Running, workflowOf(t, m, p.ID).Status, "%s ×%d", method, faults)
				require.Len(t, m.workflows, 1)
			})
		}
	}
}

// Not more than Planners compile at once, and one that hangs holds only itself.
func TestServer_Planners(t *testing.T) {
	for _, n := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemStore(shop)
			release := make(chan struct{})
			running := 0
			var mu sync.Mutex
			s := ci.New(m, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
				mu.Lock()
				running++
				mu.Unlock()
				<-release
				return ci.Plan{Workflows: []ci.PlannedWorkflow{planned("a")}}, nil
			}), ci.Config{Planners: n})
			serve(t, s)
			synctest.Wait()
			for i := range 10 {
				trigger(t, s, push("main", fmt.Sprint(i)))
			}
			synctest.Wait()
			want := n
			if n == 0 {
				want = 4
			}
			require.Equal(t, want, running)
			close(release)
			synctest.Wait()
			require.Len(t, m.workflows, 10)
		})
	}
}

// A project that is gone ends its pipelines with a reason.
func TestP1_ProjectIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemStore(shop)
		s := ci.New(m, compiles(planned("a")), ci.Config{})
		p := trigger(t, s, push("main", "r1"))
		delete(m.projects, "shop")
		serve(t, s)
		time.Sleep(time.Hour)
		synctest.Wait()
		kept, err := m.Pipeline(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, ci.PipelineError, kept.State)
	})
}
