package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// newOldWorld is a world with chapters, pages and a followed project.
func newOldWorld(t testing.TB, edit ...func(*api.Config)) (*world, *cabinet) {
	c := &cabinet{}
	pages := func(cfg *api.Config) {
		cfg.Pages = api.Pages{
			Project:  func(p ci.Project) string { return "/projects/" + p.Slug },
			Pipeline: func(id ci.PipelineID) string { return "/pipelines/" + string(id) },
			Workflow: func(id ci.WorkflowID) string { return "/workflows/" + string(id) },
			Account:  "/account",
		}
	}
	w := newWorld(t, append([]func(*api.Config){withCabinet(c), pages}, edit...)...)
	c.world = w
	w.now.Followed = true
	require.NoError(t, w.db.PutProject(context.Background(), w.now))
	return w, c
}

const shop1 = "/api/v1.1/project/github/acme/shop"

// old gets a path that must be answered with JSON, decoded into v.
func (w *world) old(path string, v any) {
	w.t.Helper()
	r := w.call("GET", path, "")
	require.Equal(w.t, 200, r.StatusCode, "%s: %s", path, r.body)
	w.decodeInto(r, v)
}

func (w *world) decodeInto(r result, v any) {
	w.t.Helper()
	require.Equal(w.t, "application/json; charset=utf-8", r.Header.Get("Content-Type"))
	require.NoError(w.t, json.Unmarshal([]byte(r.body), v), r.body)
}

// builds gets a list of builds.
func (w *world) builds(path string) []map[string]any {
	w.t.Helper()
	var out []map[string]any
	w.old(path, &out)
	return out
}

func numbers(builds []map[string]any) []any {
	out := []any{}
	for _, b := range builds {
		out = append(out, b["build_num"])
	}
	return out
}

// work lets agents run both nodes of the build job with two steps each; what
// node 1 ends with is for the caller to say. It leaves output, tests and
// artifacts behind.
func (w *world) work(p ci.Pipeline, outcome ci.Status) ci.Workflow {
	w.t.Helper()
	ctx := context.Background()
	f := w.newest(p)
	for node := range 2 {
		l := w.run(f, "build", node)
		ended := ci.Success
		if node == 1 {
			ended = outcome
		}
		for i, s := range []ci.Step{
			{Index: 0, Kind: ci.StepEnvironment, Name: "Spin up environment", Status: ci.Success},
			{Index: 1, Kind: ci.StepRun, Name: "test", Command: "make test", Status: ended},
		} {
			text := bytes.Repeat([]byte("line of "+s.Name+" on node "+string(rune('0'+node))+"\n"), i*3)
			s.Started, s.Bytes = time.Now().Add(-time.Minute), int64(len(text))
			_, err := w.logs.Append(ctx, ci.LogKey{Task: l.Task, Epoch: 1, Step: i}, 0, text)
			require.NoError(w.t, err)
			s.Stopped = time.Now()
			if s.Status == ci.Failed {
				s.ExitCode = 2
			}
			require.NoError(w.t, w.db.PutStep(ctx, l, s))
		}
		require.NoError(w.t, w.logs.End(ctx, l.Task, 1))
		divides := ci.Test{Name: "divides", Classname: "Sum", Result: "failure", Message: "1/0", Node: node}
		if outcome == ci.Success {
			divides.Result, divides.Message = "success", ""
		}
		require.NoError(w.t, w.db.PutTests(ctx, l, []ci.Test{
			{Name: "adds", Classname: "Sum", File: "sum_test.go", Result: "success", Seconds: 0.5, Node: node}, divides,
		}))
		_, err := w.files.PutFile(ctx, f.Project, ci.File{Kind: ci.FileArtifact, Task: l.Task, Epoch: 1, Name: "out/a b.txt"}, strings.NewReader("bytes"))
		require.NoError(w.t, err)
		w.report(l, ended, "")
	}
	return w.newest(p)
}

// newest returns the workflow of a pipeline that was made last.
func (w *world) newest(p ci.Pipeline) ci.Workflow {
	w.t.Helper()
	all, err := w.db.Workflows(context.Background(), p.ID)
	require.NoError(w.t, err)
	require.NotEmpty(w.t, all)
	return all[len(all)-1]
}

func with(given string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del("Circle-Token")
		if given != "" {
			r.Header.Set("Circle-Token", given)
		}
	}
}

// unlimited takes the limits away, for tests that make more requests than
// anybody.
func unlimited(c *api.Config) { c.Rate = api.RateConfig{Token: -1, Address: -1} }
