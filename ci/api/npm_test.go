package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/api/apitest"
	"github.com/rondo-ci/rondo/ci/insights"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// node returns a program of Node that sees the installed packages and nothing
// of this machine's user.
func node(t *testing.T, home string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, "node", args...)
	c.Dir = t.TempDir()
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "NODE_PATH=" + filepath.Join(home, "node_modules"), "NO_PROXY=127.0.0.1,localhost",
	}
	return c
}

// TestARC06_ClientCircleciAPI drives v1.1 with the npm client circleci-api:
// every method that it has for a project.
func TestARC06_ClientCircleciAPI(t *testing.T) {
	home := apitest.Npm(t, "testdata/npm")
	w, _ := newOldWorld(t)
	w.work(w.trigger(ci.Trigger{}), ci.Failed)
	w.work(w.trigger(ci.Trigger{Branch: "feature/x"}), ci.Success)
	script, err := filepath.Abs("testdata/npm/old.cjs")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "out.json")
	text, err := node(t, home, script, w.url, token, privateKey(t), file).CombinedOutput()
	require.NoError(t, err, string(text))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var out map[string]struct {
		Value  json.RawMessage
		Status int
		Error  map[string]string
	}
	require.NoError(t, json.Unmarshal(data, &out), string(data))
	for name, got := range out {
		switch name {
		case "missing":
			require.Equal(t, []any{404, "Job not found"}, []any{got.Status, got.Error["message"]})
		case "clearCache":
			require.Equal(t, 400, got.Status)
		default:
			require.Zero(t, got.Status, "%s: %v", name, got.Error)
		}
	}
	one := func(name string) map[string]any {
		var v map[string]any
		require.NoError(t, json.Unmarshal(out[name].Value, &v), "%s: %s", name, out[name].Value)
		return v
	}
	list := func(name string) []map[string]any {
		var v []map[string]any
		require.NoError(t, json.Unmarshal(out[name].Value, &v), "%s: %s", name, out[name].Value)
		return v
	}
	require.Equal(t, "ada", one("me")["login"])
	require.Equal(t, "shop", list("projects")[0]["reponame"])
	require.Equal(t, true, one("followProject")["followed"])
	require.Equal(t, []any{3.0, 1.0}, numbers(list("recentBuilds")))
	require.Equal(t, []any{1.0}, numbers(list("builds")))
	require.Equal(t, []any{3.0}, numbers(list("buildsFor")))
	require.Len(t, one("build")["steps"], 2)
	require.Len(t, list("artifacts"), 2)
	require.Len(t, list("latestArtifacts"), 2)
	require.Len(t, one("getTestMetadata")["tests"], 4)
	require.Equal(t, 1.0, one("retry")["retry_of"])
	require.Equal(t, []any{one("retry")["build_num"], "canceled"}, []any{one("cancel")["build_num"], one("cancel")["outcome"]})
	require.Equal(t, "main", one("triggerBuild")["branch"])
	require.Equal(t, "feature/x", one("triggerBuildFor")["branch"])
	require.NotNil(t, one("triggerBuildFor")["build_num"])
	require.Equal(t, "xxxx1234", one("addEnvVar")["value"])
	require.Equal(t, "KEY", list("listEnvVars")[0]["name"])
	require.Equal(t, "xxxx1234", one("getEnvVar")["value"])
	require.Equal(t, "ok", one("deleteEnvVar")["message"])
	require.Equal(t, one("addCheckoutKey"), list("listCheckoutKeys")[0])
	require.Equal(t, one("addCheckoutKey"), one("getCheckoutKey"))
	require.Equal(t, "ok", one("deleteCheckoutKey")["message"])
}

// An mcp is a conversation with a server of the Model Context Protocol.
type mcp struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	last int
}

// startMCP starts the npm package that gives assistants access to CircleCI, and
// points it at the world.
func startMCP(t *testing.T, w *world) *mcp {
	t.Helper()
	home := apitest.Npm(t, "testdata/npm")
	c := node(t, home, filepath.Join(home, "node_modules/@circleci/mcp-server-circleci/dist/index.js"))
	c.Env = append(c.Env, "CIRCLECI_BASE_URL="+w.url, "CIRCLECI_TOKEN="+token, "DISABLE_TELEMETRY=true")
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	said := &strings.Builder{}
	c.Stderr = said
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Log(said)
		}
	})
	m := &mcp{t: t, in: in, out: bufio.NewReader(out)}
	m.ask("initialize", map[string]any{
		"protocolVersion": "2024-11-05", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "test", "version": "1"},
	})
	m.send(map[string]any{"jsonrpc": "2.0", "method": "notifications/initialized"})
	return m
}

func (m *mcp) send(v any) {
	m.t.Helper()
	data, err := json.Marshal(v)
	require.NoError(m.t, err)
	_, err = m.in.Write(append(data, '\n'))
	require.NoError(m.t, err)
}

// ask makes a request and returns its result.
func (m *mcp) ask(method string, params any) json.RawMessage {
	m.t.Helper()
	m.last++
	m.send(map[string]any{"jsonrpc": "2.0", "id": m.last, "method": method, "params": params})
	for {
		line, err := m.out.ReadBytes('\n')
		require.NoError(m.t, err, "%s", method)
		var reply struct {
			ID     *int
			Result json.RawMessage
			Error  any
		}
		require.NoError(m.t, json.Unmarshal(line, &reply), "%s", line)
		if reply.ID != nil && *reply.ID == m.last {
			require.Nil(m.t, reply.Error, "%s", method)
			return reply.Result
		}
	}
}

// tool calls a tool, which must succeed, and returns what it says.
func (m *mcp) tool(name string, params map[string]any) string {
	m.t.Helper()
	var result struct {
		IsError bool
		Content []struct{ Text string }
	}
	raw := m.ask("tools/call", map[string]any{"name": name, "arguments": map[string]any{"params": params}})
	require.NoError(m.t, json.Unmarshal(raw, &result))
	require.False(m.t, result.IsError, "%s: %s", name, raw)
	var text string
	for _, c := range result.Content {
		text += c.Text + "\n"
	}
	return text
}

// TestARC06_ClientMCP has the npm package @circleci/mcp-server-circleci answer
// an assistant's questions from this server.
func TestARC06_ClientMCP(t *testing.T) {
	source := &ofWorld{}
	learned := insights.New(memdb.New(), source, insights.Config{})
	w, _ := newOldWorld(t, func(c *api.Config) {
		c.Chapters.Insights = learned
		c.Chapters.Compile = func(_ context.Context, r api.CompileRequest) (string, error) {
			if strings.Contains(r.Source, "jobz") {
				return "", fmt.Errorf("config.yml:2:1: jobz is not a key here: %w", ci.ErrInvalid)
			}
			return "version: 2\n", nil
		}
	})
	source.world = w
	p := w.trigger(ci.Trigger{})
	f := w.work(p, ci.Failed)
	m := startMCP(t, w)
	var tools struct{ Tools []struct{ Name string } }
	require.NoError(t, json.Unmarshal(m.ask("tools/list", map[string]any{}), &tools))
	require.Greater(t, len(tools.Tools), 8)

	shop := map[string]any{"projectSlug": "gh/acme/shop", "branch": "main"}
	output := "line of test on node 1"
	text := m.tool("get_build_failure_logs", shop)
	require.Contains(t, text, "Job: build")
	require.Contains(t, text, "Step: test")
	require.Equal(t, 3, strings.Count(text, output), text)
	require.NotContains(t, text, "on node 0", "what succeeded is not asked for")
	for _, address := range []string{
		w.url + "/gh/acme/shop/1", w.url + "/pipelines/gh/acme/shop/1", w.url + "/pipelines/gh/acme/shop/1/workflows/" + string(f.ID) + "/jobs/1",
	} {
		require.Contains(t, m.tool("get_build_failure_logs", map[string]any{"projectURL": address}), output, address)
	}
	require.Contains(t, m.tool("get_build_failure_logs", map[string]any{
		"workspaceRoot": "/src/shop", "gitRemoteURL": "https://github.com/acme/shop.git", "branch": "main",
	}), output, "found by the remote of a clone")

	text = m.tool("get_latest_pipeline_status", shop)
	require.Contains(t, text, "Workflow: main\nStatus: failed")
	text = m.tool("get_job_test_results", shop)
	require.Contains(t, text, "Test name: divides\nResult: failure")
	require.Contains(t, text, "File Name: sum_test.go")
	require.NotContains(t, m.tool("get_job_test_results", map[string]any{"projectSlug": "gh/acme/shop", "branch": "main", "filterByTestsResult": "failure"}), "adds")
	require.Contains(t, m.tool("list_followed_projects", map[string]any{}), "1. shop (projectSlug: gh/acme/shop)")
	text = m.tool("list_artifacts", shop)
	require.Contains(t, text, "out/a b.txt")
	text = m.tool("rerun_workflow", map[string]any{"workflowId": string(f.ID), "fromFailed": true})
	require.Contains(t, text, string(w.newest(p).ID))
	require.NotEqual(t, f.ID, w.newest(p).ID)

	require.Contains(t, m.tool("config_helper", map[string]any{"configFile": "version: 2.1"}), "Your config is valid!")
	require.Contains(t, m.tool("config_helper", map[string]any{"configFile": "jobz: {}"}), "jobz is not a key here")
	require.Contains(t, m.tool("run_pipeline", shop), "/pipelines/gh/acme/shop/2")

	require.Contains(t, m.tool("find_flaky_tests", shop), "No flaky tests found")
	w.work(p, ci.Success)
	require.NoError(t, w.server.Cancel(t.Context(), w.newest(p).ID, ada)) // an approval waits
	source.learn(learned)
	text = m.tool("find_flaky_tests", shop)
	require.Contains(t, text, "Test name: divides")
	require.NotContains(t, text, "adds")
}

// ofWorld lets insights read a world.
type ofWorld struct{ *world }

func (o *ofWorld) Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error) {
	return o.db.Pipeline(ctx, id)
}

func (o *ofWorld) Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	return o.db.Workflow(ctx, id)
}

func (o *ofWorld) Tests(ctx context.Context, id ci.JobID) ([]ci.Test, error) {
	return o.db.Tests(ctx, id)
}

// learn lets insights follow the world until they know of a flaky test.
func (o *ofWorld) learn(in *insights.Insights) {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, o.server.Follow) }()
	defer func() { cancel(); <-done }()
	require.Eventually(o.t, func() bool {
		flaky, err := in.FlakyTests(ctx, o.now.ID)
		return err == nil && len(flaky) > 0
	}, 20*time.Second, 10*time.Millisecond)
}
