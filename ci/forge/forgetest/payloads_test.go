package forgetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/apitest"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// examples returns the published payloads by event, of github.com and of every
// edition of GitHub Enterprise that there is.
func examples(t *testing.T) map[string][]json.RawMessage {
	files, err := filepath.Glob(filepath.Join(apitest.Npm(t, "testdata/npm"), "node_modules/@octokit/webhooks-examples/*/index.json"))
	require.NoError(t, err)
	require.Greater(t, len(files), 3)
	all := map[string][]json.RawMessage{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		var events []struct {
			Name     string
			Examples []json.RawMessage
		}
		require.NoError(t, json.Unmarshal(text, &events))
		for _, e := range events {
			all[e.Name] = append(all[e.Name], e.Examples...)
		}
	}
	return all
}

// An example is what we know of a payload without the code under test.
type example struct {
	Ref        string
	Deleted    bool
	HeadCommit *struct{ ID, Message string } `json:"head_commit"`
	Action     string
	Repository *struct {
		ID       int64
		FullName string `json:"full_name"`
	}
	PullRequest *struct {
		Number int
		Head   struct {
			SHA  string
			Repo *struct{ ID int64 }
		}
		Base struct{ Repo struct{ ID int64 } }
	} `json:"pull_request"`
}

// want returns the commit that the payload should trigger, "" for none.
func (e example) want(event string) string {
	switch {
	case event == "push" && !e.Deleted && e.HeadCommit != nil && !strings.Contains(e.HeadCommit.Message, "skip"):
		return e.HeadCommit.ID
	case event == "pull_request" && e.PullRequest.Head.Repo != nil && e.PullRequest.Head.Repo.ID != e.PullRequest.Base.Repo.ID &&
		(e.Action == "opened" || e.Action == "synchronize" || e.Action == "reopened"):
		return e.PullRequest.Head.SHA
	}
	return ""
}

// TestPublishedPayloads sends every payload that GitHub publishes through the
// webhook door: none is an error, none triggers what it should not.
func TestPublishedPayloads(t *testing.T) {
	var triggered []ci.Trigger
	fake := forgetest.Unplugged(t)
	db := memdb.New()
	host, err := github.New(db, github.Config{
		URL: fake.URL(), Transport: fake.Transport(),
		Secrets: func(context.Context, ci.ProjectID) ([]string, error) { return []string{secret}, nil },
		Trigger: func(_ context.Context, tr ci.Trigger) (ci.Pipeline, error) {
			triggered = append(triggered, tr)
			return ci.Pipeline{ID: ci.PipelineID(ci.NewID())}, nil
		},
	})
	require.NoError(t, err)
	n, followed, hits := 0, map[int64]bool{}, 0
	for event, list := range examples(t) {
		for i, payload := range list {
			n++
			var e example
			require.NoError(t, json.Unmarshal(payload, &e), "%s %d", event, i)
			if e.Repository != nil && !followed[e.Repository.ID] {
				followed[e.Repository.ID] = true
				adopt(t, db, e.Repository.ID, e.Repository.FullName)
			}
			triggered = nil
			var body bytes.Buffer
			fmt.Fprintf(&body, "%s", payload)
			r := httptest.NewRequest(http.MethodPost, github.HookPath, &body)
			r.Header.Set("X-Hub-Signature-256", forgetest.Sign(secret, payload))
			r.Header.Set("X-GitHub-Event", event)
			r.Header.Set("X-GitHub-Delivery", ci.NewID())
			r.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			host.Handler().ServeHTTP(rec, r)
			require.Less(t, rec.Code, 300, "%s %d: %s\n%.300s", event, i, rec.Body, payload)
			want := e.want(event)
			switch {
			case want == "":
				require.Empty(t, triggered, "%s %d", event, i)
			case strings.Contains(rec.Body.String(), "received before"): // the same example in two editions
			default:
				require.Len(t, triggered, 1, "%s %d", event, i)
				require.Equal(t, want, triggered[0].Revision)
				require.Equal(t, event == "pull_request", triggered[0].Fork != "")
				hits++
			}
		}
	}
	require.Greater(t, n, 500)
	require.GreaterOrEqual(t, hits, 5, "few of them are pushes, but some")
	t.Logf("%d payloads, %d pipelines", n, hits)
}

// adopt makes a project of a repository, followed and built from forks too.
func adopt(t *testing.T, db *memdb.DB, id int64, name string) {
	owner, short, _ := strings.Cut(name, "/")
	p := ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: fmt.Sprintf("gh/%s-%d", name, id), Org: owner, Repo: short, RepoID: fmt.Sprint(id), Followed: true}
	p.BuildForks = true
	require.NoError(t, db.PutProject(t.Context(), p))
	body, err := json.Marshal(map[string]any{"project": p.ID, "owner": owner, "name": short, "state": "there"})
	require.NoError(t, err)
	_, err = db.WriteDocs(t.Context(), ci.DocChange{Doc: ci.Doc{Kind: "github-repository", ID: fmt.Sprint(id), Body: body}})
	require.NoError(t, err)
}

// TestPayloadsLikeGitHubs: the fake's own payloads have the fields of the
// published ones.
func TestPayloadsLikeGitHubs(t *testing.T) {
	published := examples(t)
	fake := forgetest.Unplugged(t)
	fake.SendBy(roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}))
	repo := fake.Repo("acme/shop")
	repo.AddHook("https://ci.example.com/hooks/github", secret, "*")
	repo.Push("main", "one", nil)
	repo.OpenPull(repo, "main", "title")
	for _, d := range repo.Deliveries() {
		var ours map[string]any
		require.NoError(t, json.Unmarshal(d.Payload, &ours))
		common := map[string]bool{}
		for i, p := range published[d.Event] {
			var theirs map[string]any
			require.NoError(t, json.Unmarshal(p, &theirs))
			for k := range theirs {
				if i == 0 {
					common[k] = true
				}
			}
			for k := range common {
				if _, ok := theirs[k]; !ok {
					delete(common, k)
				}
			}
		}
		require.NotEmpty(t, common)
		for k := range common {
			require.Contains(t, ours, k, d.Event)
		}
	}
}
