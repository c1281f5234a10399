package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

const hello = `
version: 2.1
jobs: {hi: {machine: true, steps: [checkout, {run: echo hi}]}}
workflows: {main: {jobs: [hi]}}
`

// team writes settings and returns the started server and its data folder.
func team(t *testing.T, more string) (*server, string) {
	t.Helper()
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "rondo.yml")
	text := fmt.Sprintf("url: http://ci.example.com\nlisten: 127.0.0.1:0\nagents: 127.0.0.1:0\ndata: %s\n%s", data, more)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	s := start(t, program(t, "serve", "--json", "--config", file))
	token, err := os.ReadFile(filepath.Join(data, "token"))
	require.NoError(t, err)
	s.Token = strings.TrimSpace(string(token))
	return s, data
}

// A team's server builds several folders, and lets nobody in without a token.
func TestServe_Folders(t *testing.T) {
	a, b := newRepo(t, hello), newRepo(t, hello)
	s, _ := team(t, fmt.Sprintf("folders: [%s, %s]\n", a.dir, b.dir))
	projects := map[ci.ProjectID]bool{}
	s.wait("both", func(e ci.Event) bool {
		projects[e.Project] = projects[e.Project] || e.Kind == ci.WorkflowEnded && e.Status == ci.Success
		return len(projects) == 2 && projects[e.Project]
	})
	require.Len(t, s.pipelines(), 2)

	for _, path := range []string{"/", "/api/v2/me", "/api/v2/pipeline"} {
		req, err := http.NewRequest("GET", s.URL+path, nil)
		require.NoError(t, err)
		reply, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, reply.Body.Close())
		require.GreaterOrEqual(t, reply.StatusCode, 401, "%s: a loopback address is no key here", path)
		require.Less(t, reply.StatusCode, 404, path)
	}
	reply, err := http.Post(s.Agents+"/door/v1/tasks/x.0/1/claim", "application/json", nil)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.Equal(t, http.StatusUnauthorized, reply.StatusCode, "the agents' door asks for a task's token")
	require.Equal(t, 0, s.stop(), s.errors())
}

func TestServe_ClearErrors(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"no file":    {"", "no such file"},
		"a mistake":  {"url: x\ndata: d\n", "is no address of a server"},
		"no such re": {"url: http://x\nlisten: 127.0.0.1:0\nagents: 127.0.0.1:0\ndata: DATA\nfolders: [/no/such]\n", "/no/such"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "rondo.yml")
			if tt.text != "" {
				require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(tt.text, "DATA", dir+"/data")), 0o600))
			}
			out, err := program(t, "serve", "-c", file).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), tt.want)
			require.Contains(t, string(out), "rondo-server: ")
		})
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "rondo.yml")
	require.NoError(t, os.WriteFile(file, []byte("url: http://x\ndata: d\n"), 0o600))
	out, err := program(t, "serve", "--check", "-c", file).CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "the settings are good")
}
