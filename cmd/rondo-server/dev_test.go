package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// shop is a project with all that issue 2 names: three jobs, a cache, a
// workspace, an approval, artifacts, test results and a step that fails.
const shop = `
version: 2.1
jobs:
  build:
    docker: [{image: cimg/base:stable}]
    steps:
      - checkout
      - restore_cache: {keys: ['deps-{{ checksum "deps" }}']}
      - run: test -e ~/.deps || { echo no cache; mkdir -p ~/.deps; cp deps ~/.deps/; }
      - save_cache: {key: 'deps-{{ checksum "deps" }}', paths: [~/.deps]}
      - run: mkdir -p out && echo "built $CIRCLE_SHA1" > out/app
      - persist_to_workspace: {root: ., paths: [out]}
      - store_artifacts: {path: out, destination: app}
  check:
    docker: [{image: cimg/base:stable}]
    parallelism: 2
    steps:
      - attach_workspace: {at: .}
      - run: grep built out/app
      - run: mkdir -p r && echo "<testsuite><testcase name='n$CIRCLE_NODE_INDEX' classname='c' time='0.1'/></testsuite>" > r/r.xml
      - store_test_results: {path: r}
  ship:
    docker: [{image: cimg/base:stable}]
    steps:
      - run: {name: Ship it, command: "echo shipping; exit 7"}
      - run: {name: Clean up, command: echo cleaned, when: always}
workflows:
  main:
    jobs:
      - build
      - check: {requires: [build]}
      - hold: {type: approval, requires: [check]}
      - ship: {requires: [hold]}
`

func TestDev_WholeProject(t *testing.T) {
	r := newRepo(t, shop)
	r.commit("deps", map[string]string{"deps": "a b c"})
	s := startServer(t, r.dir, filepath.Join(serverDir(t), "data"))
	held := s.wait("hold", func(e ci.Event) bool { return e.Kind == ci.JobHeld })
	code, body := s.call("POST", "/api/v2/workflow/"+string(held.Workflow)+"/approve/"+string(held.Job), "")
	require.Equal(t, http.StatusAccepted, code, body)
	end := s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(t, ci.Failed, end.Status)
	ship := s.waitEnd(ci.JobEnded, "ship")
	require.Equal(t, ci.Failed, ship.Status)
	require.Contains(t, ship.Reason, "Ship it")
	require.Contains(t, ship.Reason, "7")
	s.wait("clean-up", func(e ci.Event) bool {
		return e.Kind == ci.StepEnded && e.Step.Name == "Clean up" && e.Step.Status == ci.Success
	})
	for _, page := range []string{"/", "/pipelines/" + string(end.Pipeline), "/workflows/" + string(end.Workflow)} {
		code, body := s.call("GET", page, "")
		require.Equal(t, http.StatusOK, code, page)
		require.Contains(t, body, "main", page)
	}

	// A commit on another branch runs by itself, and finds the cache.
	r.git("checkout", "-q", "-b", "feature")
	sha := r.commit("second", map[string]string{"x": "y"})
	second := s.wait("build of the second commit", func(e ci.Event) bool {
		return e.Kind == ci.JobEnded && e.Name == "build" && e.Workflow != end.Workflow
	})
	require.Equal(t, ci.Success, second.Status)
	all := s.pipelines()
	require.Len(t, all, 2, "a new name for the old commit makes no pipeline")
	require.Equal(t, sha, all[0].VCS.Revision)
	require.Equal(t, "feature", all[0].VCS.Branch)
	require.Equal(t, 0, s.stop(), s.errors())
}

func TestDev_RestartGoesOn(t *testing.T) {
	r := newRepo(t, `
version: 2.1
jobs:
  slow:
    docker: [{image: x}]
    steps: [{run: "echo start >> $MARK; sleep 3; echo end >> $MARK"}]
  after:
    docker: [{image: x}]
    steps: [{run: echo after}]
workflows: {main: {jobs: [slow, {after: {requires: [slow]}}]}}
`)
	mark := filepath.Join(serverDir(t), "mark")
	r.commit("mark", map[string]string{".circleci/config.yml": strings.ReplaceAll(r.git("show", "HEAD:.circleci/config.yml"), "$MARK", mark)})
	data := filepath.Join(serverDir(t), "data")
	s := startServer(t, r.dir, data)
	s.wait("start", func(e ci.Event) bool { return e.Kind == ci.StepStarted && e.Step.Kind == ci.StepRun })
	require.Equal(t, 0, s.stop(), s.errors())
	s = startServer(t, r.dir, data)
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status)
	b, err := os.ReadFile(mark)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(b), "end"), "the stopped run must not have ended: %q", b)
	require.Equal(t, 0, s.stop())
	// Nothing new: the third start has nothing to run.
	s = startServer(t, r.dir, data)
	time.Sleep(500 * time.Millisecond)
	s.mu.Lock()
	for _, e := range s.events {
		require.NotEqual(t, ci.PipelineCreated, e.Kind)
	}
	s.mu.Unlock()
	require.Equal(t, 0, s.stop())
}

func TestDev_ClearErrors(t *testing.T) {
	good := newRepo(t, "version: 2.1\njobs: {a: {docker: [{image: x}], steps: [run: 'true']}}\nworkflows: {w: {jobs: [a]}}\n")
	data := filepath.Join(serverDir(t), "data")
	s := startServer(t, good.dir, data)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"same data folder": {[]string{"--repo", good.dir, "--data", data, "--listen", "127.0.0.1:0"}, "in use by another Rondo server"},
		"port in use":      {[]string{"--repo", good.dir, "--data", serverDir(t), "--listen", strings.TrimPrefix(s.URL, "http://")}, "another program uses that port"},
		"no repository":    {[]string{"--repo", serverDir(t), "--data", serverDir(t)}, "not a git repository"},
		"no such folder":   {[]string{"--repo", "/does/not/exist"}, "/does/not/exist"},
		"odd address":      {[]string{"--repo", good.dir, "--data", serverDir(t), "--listen", "nonsense"}, "nonsense"},
		"no orbs":          {[]string{"--repo", good.dir, "--orbs", "/does/not/exist"}, "--orbs /does/not/exist: no such folder"},
		"odd flag":         {[]string{"--nonsense"}, "--nonsense"},
		"an argument":      {[]string{"repo"}, "--repo"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := program(t, append([]string{"dev"}, c.args...)...).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), c.want)
		})
	}
}

func TestDev_ConfigErrorIsAPipelineThatSaysWhy(t *testing.T) {
	r := newRepo(t, "version: 2.1\njobs:\n  build:\n    docker: [{image: x}]\n    stepz: []\nworkflows: {w: {jobs: [build]}}\n")
	s := startServer(t, r.dir, filepath.Join(serverDir(t), "data"))
	e := s.wait("error", func(e ci.Event) bool { return e.Kind == ci.PipelineErrored })
	require.Contains(t, e.Reason, ".circleci/config.yml:")
	code, body := s.call("GET", "/pipelines/"+string(e.Pipeline), "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "stepz")

	r.git("rm", "-q", ".circleci/config.yml")
	r.commit("no config", nil)
	e = s.wait("second error", func(x ci.Event) bool { return x.Kind == ci.PipelineErrored && x.Pipeline != e.Pipeline })
	require.Contains(t, e.Reason, "config.yml")

	var page struct {
		Items []struct {
			State  string
			Errors []struct{ Message string }
		}
	}
	code, body = s.call("GET", "/api/v2/pipeline", "")
	require.Equal(t, http.StatusOK, code, body)
	require.NoError(t, json.Unmarshal([]byte(body), &page))
	require.Len(t, page.Items, 2)
	require.Equal(t, "errored", page.Items[0].State)
	require.NotEmpty(t, page.Items[0].Errors)
	require.Equal(t, 0, s.stop())
}

func TestDev_ParametersThatDoNotFitAreRefused(t *testing.T) {
	r := newRepo(t, `
version: 2.1
parameters: {n: {type: integer, default: 1}}
jobs: {a: {docker: [{image: x}], steps: [run: echo << pipeline.parameters.n >>]}}
workflows: {main: {jobs: [a]}}
`)
	s := startServer(t, r.dir, filepath.Join(serverDir(t), "data"))
	s.waitEnd(ci.WorkflowEnded, "main")
	var page struct{ Items []struct{ Slug string } }
	_, body := s.call("GET", "/api/v2/rondo/projects", "")
	require.NoError(t, json.Unmarshal([]byte(body), &page))
	path := "/api/v2/project/" + page.Items[0].Slug + "/pipeline"
	for given, want := range map[string]int{
		`{"n": 7}`: http.StatusCreated, `{"n": "7"}`: http.StatusBadRequest, `{"zz": 1}`: http.StatusBadRequest,
	} {
		code, body := s.call("POST", path, `{"branch":"main","parameters":`+given+`}`)
		require.Equal(t, want, code, "%s: %s", given, body)
	}
}

// A dev server on a loopback address tells receivers on this machine; one that
// others reach does not.
func TestDev_WebhooksToThisMachine(t *testing.T) {
	r := newRepo(t, hello)
	in := newInbox(t, "s")
	for listen, status := range map[string]int{"127.0.0.1:0": http.StatusCreated, "0.0.0.0:0": http.StatusBadRequest} {
		s := start(t, program(t, "dev", "--json", "--repo", r.dir, "--data", serverDir(t), "--listen", listen))
		_, project, _ := s.only()
		s.ask(status, "POST", "/webhook", `{"name":"w","url":"`+in.URL+`","events":["workflow-completed"],"verify-tls":true,`+
			`"signing-secret":"s","scope":{"id":"`+project+`","type":"project"}}`)
		require.Equal(t, 0, s.stop(), s.errors())
	}
}
