package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/webhook"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// ask makes a request that must be answered with the status, and decodes the
// reply.
func (s *server) ask(status int, method, path, body string) map[string]any {
	s.t.Helper()
	code, text := s.call(method, "/api/v2"+path, body)
	require.Equal(s.t, status, code, "%s %s: %s", method, path, text)
	var v map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// only returns the one project that the server builds.
func (s *server) only() (slug, id, org string) {
	s.t.Helper()
	items := s.ask(200, "GET", "/rondo/projects", "")["items"].([]any)
	require.Len(s.t, items, 1)
	p := items[0].(map[string]any)
	return p["slug"].(string), p["id"].(string), p["organization_slug"].(string)
}

// An inbox is where webhooks go.
type inbox struct {
	*httptest.Server
	mu      sync.Mutex
	letters []letter
}

type letter struct {
	Type     string
	Workflow struct{ Name, Status string }
	Job      struct{ Name, Status string }
	signed   bool
}

// newInbox takes messages that are signed with the secret.
func newInbox(t *testing.T, secret string) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l := letter{signed: r.Header.Get("circleci-signature") == webhook.Signature([]byte(secret), body)}
		_ = json.Unmarshal(body, &l)
		in.mu.Lock()
		defer in.mu.Unlock()
		in.letters = append(in.letters, l)
	}))
	t.Cleanup(in.Close)
	return in
}

// told returns what was said: kind, name and status.
func (in *inbox) told() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var all []string
	for _, l := range in.letters {
		of := l.Workflow
		if l.Job.Name != "" {
			of = l.Job
		}
		all = append(all, fmt.Sprintf("%s %s %s %v", l.Type, of.Name, of.Status, l.signed))
	}
	return all
}

// holding lists the files below a folder that hold a text.
func holding(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // what jobs leave comes and goes
		}
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) {
			found = append(found, path)
		}
		return nil
	}))
	return found
}

// TestSEC02_ContextsAndWebhooks: a job gets the secrets of its context and
// cannot show them, one that a restriction keeps out says why, and a receiver
// hears of both.
func TestSEC02_ContextsAndWebhooks(t *testing.T) {
	r := newRepo(t, hello)
	s, data := team(t, "folders: ["+r.dir+"]\nwebhooks: {allow: [127.0.0.0/8]}\n")
	s.waitEnd(ci.WorkflowEnded, "main")
	_, project, org := s.only()
	secret := "hunter2-" + ci.NewID()
	for _, name := range []string{"deploy", "locked"} {
		id := s.ask(200, "POST", "/context", fmt.Sprintf(`{"name":%q,"owner":{"slug":%q,"type":"organization"}}`, name, org))["id"].(string)
		s.ask(200, "PUT", "/context/"+id+"/environment-variable/TOKEN", fmt.Sprintf(`{"value":%q}`, secret))
		if name == "locked" {
			s.ask(201, "POST", "/context/"+id+"/restrictions", `{"restriction_type":"expression","restriction_value":"pipeline.git.branch == \"release\""}`)
		}
	}
	in := newInbox(t, "sesame-open")
	s.ask(201, "POST", "/webhook", fmt.Sprintf(`{"name":"all","url":%q,"events":["workflow-completed","job-completed"],"verify-tls":true,`+
		`"signing-secret":"sesame-open","scope":{"id":%q,"type":"project"}}`, in.URL, project))
	r.commit("contexts", map[string]string{".circleci/config.yml": `
version: 2.1
jobs:
  show: {machine: true, steps: [run: 'echo "token $TOKEN, length ${#TOKEN}, base64 $(printf %s "$TOKEN" | base64 -w0)"']}
  gated: {machine: true, steps: [run: 'echo "$TOKEN"']}
workflows:
  open: {jobs: [show: {context: deploy}]}
  shut: {jobs: [gated: {context: locked}]}
`})
	shut := s.waitEnd(ci.WorkflowEnded, "shut")
	require.Equal(t, ci.Unauthorized, shut.Status)
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "open").Status)
	for _, j := range s.jobs(string(shut.Pipeline)) {
		if j.Name == "show" {
			require.Equal(t, fmt.Sprintf("token ****, length %d, base64 ****\n", len(secret)), s.log(j.ID, 0, 1))
			continue
		}
		got := s.ask(200, "GET", "/rondo/job/"+j.ID, "")
		require.Equal(t, "unauthorized", got["status"])
		require.Equal(t, "context \"locked\": of its expressions none holds: `pipeline.git.branch == \"release\"` is not true here", got["reason"])
	}
	want := []string{
		"job-completed show success true", "workflow-completed open success true",
		"job-completed gated unauthorized true", "workflow-completed shut unauthorized true",
	}
	s.eventually("four messages", func() bool { return len(in.told()) >= 4 })
	require.ElementsMatch(t, want, in.told())
	require.Equal(t, 0, s.stop(), s.errors())
	require.Empty(t, holding(t, data, secret))
	require.Empty(t, holding(t, data, base64.StdEncoding.EncodeToString([]byte(secret))))
	require.NotContains(t, s.errors(), secret)
}

// TestARC06_Continuation: a setup job goes on with a configuration that it
// makes, as people do it, and only once.
func TestARC06_Continuation(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("curl is not installed")
		}
		t.Skip("curl is not installed")
	}
	r := newRepo(t, hello)
	s, _ := team(t, "folders: ["+r.dir+"]\n")
	s.waitEnd(ci.WorkflowEnded, "main")
	r.commit("setup", map[string]string{
		"next.json": `{"continuation-key": "KEY", "parameters": {"who": "Ada"}, "configuration":
			"version: 2.1\nparameters: {who: {type: string, default: nobody}}\njobs: {real: {machine: true, steps: [run: echo hello << pipeline.parameters.who >>]}}\nworkflows: {real: {jobs: [real]}}\n"}`,
		".circleci/config.yml": `
version: 2.1
setup: true
jobs:
  choose:
    machine: true
    steps:
      - checkout
      - run: |
          sed -i "s/KEY/$CIRCLE_CONTINUATION_KEY/" next.json
          for i in 1 2; do curl -s -w ' %{http_code}\n' -H 'Content-Type: application/json' -d @next.json ` + s.URL + `/api/v2/pipeline/continue; done
workflows: {setup: {jobs: [choose]}}
`})
	end := s.waitEnd(ci.WorkflowEnded, "real")
	require.Equal(t, ci.Success, end.Status)
	s.waitEnd(ci.WorkflowEnded, "setup")
	for _, j := range s.jobs(string(end.Pipeline)) {
		if j.Name == "real" {
			require.Equal(t, "hello Ada\n", s.log(j.ID, 0, 1))
			continue
		}
		out := strings.Split(strings.TrimSpace(s.log(j.ID, 0, 2)), "\n")
		require.Len(t, out, 2)
		require.True(t, strings.HasSuffix(out[0], " 200"), out[0])
		require.True(t, strings.HasSuffix(out[1], " 409"), out[1])
	}
	config := s.ask(200, "GET", "/pipeline/"+string(end.Pipeline)+"/config", "")
	require.Contains(t, config["source"], "hello")
	require.Contains(t, config["setup-config"], "setup: true")
	s.ask(404, "POST", "/pipeline/continue", `{"continuation-key":"wrong","configuration":"x"}`)
	require.Equal(t, 0, s.stop(), s.errors())
}

// TestServe_ScheduleMissed: what came due while the server was down runs at its
// start, once.
func TestServe_ScheduleMissed(t *testing.T) {
	r := newRepo(t, hello)
	s, data := team(t, "folders: ["+r.dir+"]\n")
	s.waitEnd(ci.WorkflowEnded, "main")
	slug, _, _ := s.only()
	id := s.ask(201, "POST", "/project/"+slug+"/schedule", `{"name":"nightly","attribution-actor":"current","parameters":{"branch":"main"},`+
		`"timetable":{"per-hour":1,"hours-of-day":[3],"days-of-month":[29],"months":["FEB"]}}`)["id"].(string)
	require.Equal(t, 0, s.stop(), s.errors())

	due := time.Now().Add(-2 * time.Hour).Truncate(time.Millisecond)
	db, err := sqldb.Open(t.Context(), filepath.Join(data, "rondo.db"), sqldb.Config{})
	require.NoError(t, err)
	d, err := db.Doc(t.Context(), "schedule", id)
	require.NoError(t, err)
	d.Due = due
	_, err = db.WriteDocs(t.Context(), ci.DocChange{Doc: d})
	require.NoError(t, err)
	require.NoError(t, db.Close())

	for range 2 {
		s = start(t, program(t, "serve", "--json", "--config", filepath.Join(filepath.Dir(data), "rondo.yml")))
		token, err := os.ReadFile(filepath.Join(data, "token"))
		require.NoError(t, err)
		s.Token = strings.TrimSpace(string(token))
		s.eventually("the late pipeline", func() bool { return len(s.pipelines()) == 2 })
		var late map[string]any
		s.eventually("what the late pipeline says when it is planned", func() bool {
			late = s.ask(200, "GET", "/pipeline", "")["items"].([]any)[0].(map[string]any)
			return len(late["warnings"].([]any)) > 0
		})
		require.Equal(t, "scheduled_pipeline", late["trigger"].(map[string]any)["type"])
		require.Contains(t, late["warnings"].([]any)[0], "late: it was due at "+due.UTC().Format("15:04"))
		require.NotEmpty(t, s.ask(200, "GET", "/schedule/"+id, "")["next-run-at"])
		s.eventually("its end", func() bool {
			list := s.workflowStatuses(late["id"].(string))
			return len(list) == 1 && list[0] == ci.Success
		})
		require.Equal(t, 0, s.stop(), s.errors())
	}
}

// TestServe_NoCodeHost: what takes a code host says that there is none.
func TestServe_NoCodeHost(t *testing.T) {
	r := newRepo(t, hello)
	s, _ := team(t, "folders: ["+r.dir+"]\n")
	slug, _, org := s.only()
	require.Contains(t, s.ask(400, "DELETE", "/project/"+slug, "")["message"], "take it out of the settings")
	require.Contains(t, s.ask(400, "POST", "/organization/"+org+"/project", `{"name":"nowhere"}`)["message"], "no folder that this server builds")
	code, text := s.call("POST", "/api/v1.1/project/gh/acme/shop/follow", "")
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, text, "the server knows no other code host")
	code, text = s.call("POST", "/api/v1.1/project/"+slug+"/follow", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, `"followed":true`)
	require.Equal(t, 0, s.stop(), s.errors())
}
