package api_test

import (
	"context"
	"fmt"
	"iter"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// A counting database knows how much is read of it.
type counting struct {
	*memdb.DB
	pipelines, workflows, queries int
}

func (c *counting) Pipelines(ctx context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error] {
	c.queries++
	return func(yield func(ci.Pipeline, error) bool) {
		for p, err := range c.DB.Pipelines(ctx, q) {
			c.pipelines++
			if !yield(p, err) {
				return
			}
		}
	}
}

func (c *counting) Workflows(ctx context.Context, id ci.PipelineID) ([]ci.Workflow, error) {
	c.workflows++
	return c.DB.Workflows(ctx, id)
}

// history makes n pipelines of the project.
func (w *world) history(n int) {
	w.t.Helper()
	for range n {
		w.trigger(ci.Trigger{})
	}
}

// TestBuildListCost makes sure that lists and badges cost what they show, not
// what there was before.
func TestBuildListCost(t *testing.T) {
	w, _ := newOldWorld(t)
	db := &counting{DB: w.db}
	h := api.New(w.server, db, w.logs, w.files, w.cfg)
	cost := func(path string) counting {
		*db = counting{DB: w.db}
		r := httptest.NewRequest("GET", path, nil)
		with(token)(r)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		require.Equal(t, 200, rec.Code, path)
		return counting{nil, db.pipelines, db.workflows, db.queries}
	}
	w.history(80)
	paths := []string{
		"/api/v1.1/recent-builds", shop1 + "?limit=10&offset=5", shop1 + "/tree/main", "/api/v1.1/projects", "/gh/acme/shop.svg", "/cc.xml", shop1 + "/100",
	}
	first := map[string]counting{}
	for _, path := range paths {
		first[path] = cost(path)
		require.Less(t, first[path].workflows, 80, path)
	}
	w.history(120)
	for _, path := range paths {
		require.Equal(t, first[path], cost(path), "%s costs more with a longer history", path)
	}
	require.LessOrEqual(t, cost("/api/v1.1/recent-builds?shallow=true").queries, 2)
}

// A fat database has thousands of builds in each pipeline.
type fat struct {
	*memdb.DB
	reads int
}

func (f *fat) Workflows(ctx context.Context, id ci.PipelineID) ([]ci.Workflow, error) {
	f.reads++
	all, err := f.DB.Workflows(ctx, id)
	for i := range 2500 {
		all[0].Jobs = append(all[0].Jobs, ci.Job{Name: fmt.Sprint("j", i), Number: int64(i + 1), Queued: time.Now(), Status: ci.Success})
	}
	return all, err
}

// TestA154_DeepOffset: how far somebody asks into the past does not decide how
// much is held in memory for them.
func TestA154_DeepOffset(t *testing.T) {
	w, _ := newOldWorld(t)
	w.history(80)
	db := &fat{DB: w.db}
	h := api.New(w.server, db, w.logs, w.files, w.cfg)
	r := httptest.NewRequest("GET", shop1+"?offset=1000000000", nil)
	with(token)(r)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	require.Equal(t, "[]", strings.TrimSpace(rec.Body.String()))
	require.LessOrEqual(t, db.reads, 20)
}

// BenchmarkOldReads is what monitors ask for again and again, of a project with
// 1,000 pipelines in SQLite.
func BenchmarkOldReads(b *testing.B) {
	ctx := b.Context()
	db, err := sqldb.Open(ctx, filepath.Join(b.TempDir(), "rondo.db"), sqldb.Config{Volatile: true})
	require.NoError(b, err)
	defer db.Close()
	w, _ := newOldWorld(b, unlimited)
	require.NoError(b, db.PutProject(ctx, w.now))
	server := ci.New(db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) { return plan, nil }), ci.Config{})
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- server.Run(run) }()
	defer func() { stop(); <-done }()
	var last ci.Pipeline
	for range 1000 {
		last, err = server.Trigger(ctx, ci.Trigger{Project: w.now.ID, Branch: "main", Source: ci.SourceAPI, Revision: strings.Repeat("a", 40)})
		require.NoError(b, err)
	}
	require.Eventually(b, func() bool {
		p, err := db.Pipeline(ctx, last.ID)
		return err == nil && p.State == ci.PipelineReady
	}, time.Minute, 10*time.Millisecond)
	h := api.New(server, db, w.logs, w.files, w.cfg)
	for _, path := range []string{"/api/v1.1/recent-builds", shop1 + "/tree/main?limit=100", shop1 + "/1999", "/gh/acme/shop.svg", "/cc.xml"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequest("GET", path, nil)
				with(token)(r)
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				if rec.Code != 200 {
					b.Fatal(rec.Body)
				}
			}
		})
	}
}

// TestBuildListAgrees compares what lists say of builds with what each build
// says of itself, over histories of several branches with reruns.
func TestBuildListAgrees(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w, _ := newOldWorld(t)
		var all []ci.Pipeline
		again := false // then what is before goes by pipelines, not by numbers
		for range rapid.IntRange(1, 25).Draw(r, "pipelines") {
			p := w.trigger(ci.Trigger{Branch: rapid.SampledFrom([]string{"main", "dev", "x"}).Draw(r, "branch")})
			all = append(all, p)
			for node := range 2 {
				w.report(w.run(w.newest(p), "build", node), rapid.SampledFrom([]ci.Status{ci.Success, ci.Failed, ci.TimedOut}).Draw(r, "outcome"), "")
			}
			if rapid.Bool().Draw(r, "rerun") {
				old := w.newest(rapid.SampledFrom(all).Draw(r, "of"))
				again = true
				_, _ = w.server.Rerun(t.Context(), old.ID, ci.Rerun{Jobs: []ci.JobID{old.Jobs[0].ID}}, ada)
			}
		}
		previous := map[any]map[string]any{} // by branch: the newest finished of the list read from its end
		list := w.builds(shop1 + "?limit=100")
		for _, b := range slices.Backward(list) {
			var one map[string]any
			w.old(shop1+"/"+fmt.Sprint(b["build_num"]), &one)
			for name, v := range b {
				if name != "has_artifacts" {
					require.Equal(t, one[name], v, "%s of %v", name, b["build_num"])
				}
			}
			if was := previous[b["branch"]]; was != nil && len(all) <= 10 && !again {
				require.Equal(t, was["build_num"], b["previous"].(map[string]any)["build_num"])
				fixed := b["outcome"] == "success" && was["outcome"] != "success" && len(b["retries"].([]any)) == 0
				require.Equal(t, fixed, b["status"] == "fixed", "%v after %v", b, was)
			}
			if b["lifecycle"] == "finished" {
				previous[b["branch"]] = b
			}
		}
	})
}
