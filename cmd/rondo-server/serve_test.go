package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
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
	return teamWith(t, program(t), "ci.example.com", "127.0.0.1:0", more)
}

// teamWith is team with the program, the host in the server's url, and where it
// listens.
func teamWith(t *testing.T, cmd *exec.Cmd, host, listen, more string) (*server, string) {
	t.Helper()
	dir := serverDir(t)
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "rondo.yml")
	text := fmt.Sprintf("url: http://%s\nlisten: %s\nagents: 127.0.0.1:0\ndata: %s\n%s", host, listen, data, more)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	cmd.Args = append(cmd.Args, "serve", "--json", "--config", file)
	s := start(t, cmd)
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
			dir := serverDir(t)
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
	dir := serverDir(t)
	file := filepath.Join(dir, "rondo.yml")
	require.NoError(t, os.WriteFile(file, []byte("url: http://x\ndata: d\n"), 0o600))
	out, err := program(t, "serve", "--check", "-c", file).CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "the settings are good")
}

// Keys turn and the keyset's protection changes while the server runs; what
// was stored is still there for jobs after a restart.
func TestSEC02_KeysTurnWhileTheServerRuns(t *testing.T) {
	r := newRepo(t, `
version: 2.1
jobs: {hi: {machine: true, steps: [{run: 'echo "<$TOKEN>"; echo "$TOKEN" | rev'}]}}
workflows: {main: {jobs: [{hi: {context: [deploy]}}]}}
`)
	dir := serverDir(t)
	first, second := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	require.NoError(t, os.WriteFile(first, []byte("the first passphrase\n"), 0o600))
	require.NoError(t, os.WriteFile(second, []byte("the second passphrase\n"), 0o600))
	more := fmt.Sprintf("folders: [%s]\nsecrets: {passphrase: \"file:%s\"}\n", r.dir, first)
	s, data := team(t, more)
	refused := s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(t, ci.Unauthorized, refused.Status, "there is no such context yet")

	var org struct{ Items []struct{ Slug string } }
	code, body := s.call("GET", "/api/v2/rondo/projects", "")
	require.Equal(t, 200, code)
	require.NoError(t, json.Unmarshal([]byte(body), &org))
	slug := org.Items[0].Slug
	code, body = s.call("POST", "/api/v2/context", `{"name":"deploy","owner":{"slug":"`+slug[:strings.LastIndex(slug, "/")]+`"}}`)
	require.Equal(t, 200, code, body)
	var made struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(body), &made))
	code, body = s.call("PUT", "/api/v2/context/"+made.ID+"/environment-variable/TOKEN", `{"value":"canary-value"}`)
	require.Equal(t, 200, code, body)
	code, body = s.call("POST", "/api/v2/rondo/keys/rotate", "")
	require.Equal(t, 201, code, body)
	s.eventually("the secret follows the key", func() bool {
		code, body := s.call("GET", "/api/v2/rondo/keys", "")
		var keys struct {
			Items []struct {
				State string
				Uses  int
			}
		}
		return code == 200 && json.Unmarshal([]byte(body), &keys) == nil && len(keys.Items) == 2 &&
			keys.Items[0].Uses == 1 && keys.Items[1].Uses == 0
	})
	file := filepath.Join(filepath.Dir(data), "rondo.yml")
	out, err := program(t, "secrets", "protect", "-c", file, "--to", "file:"+second).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, 0, s.stop(), s.errors())

	out, err = program(t, "serve", "-c", file).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "wrong passphrase")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), first, second)), 0o600))
	s = start(t, program(t, "serve", "--json", "--config", file))
	token, err := os.ReadFile(filepath.Join(data, "token"))
	require.NoError(t, err)
	s.Token = strings.TrimSpace(string(token))
	code, body = s.call("POST", "/api/v2/project/"+slug+"/pipeline", `{"branch":"main"}`)
	require.Equal(t, 201, code, body)
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status)
	job := s.waitEnd(ci.JobEnded, "hi")
	require.Equal(t, "<****>\neulav-yranac\n", s.log(string(job.Job), 0, 1))
	require.Equal(t, 0, s.stop(), s.errors())
	for _, name := range []string{"rondo.db", "rondo.db-wal", "keyset.json"} {
		bytes, _ := os.ReadFile(filepath.Join(data, name))
		require.NotContains(t, string(bytes), "canary-value", name)
	}
}
