package github_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
)

func TestFollow(t *testing.T) {
	w := newWorld(t, nil)
	r, p := w.follow("acme/shop")
	require.Equal(t, "gh/acme/shop", p.Slug)
	require.Equal(t, []string{"acme", "shop", "main", "git@ghe.example.com:acme/shop.git", fmt.Sprint(r.ID())},
		[]string{p.Org, p.Repo, p.DefaultBranch, p.CloneURL, p.RepoID})
	require.True(t, p.Followed)
	kept, err := w.db.ProjectBySlug(t.Context(), "gh/acme/shop")
	require.NoError(t, err)
	require.Equal(t, p, kept)

	require.Len(t, r.Hooks(), 1)
	require.Equal(t, []string{address + "/hooks/github", secret}, []string{r.Hooks()[0].URL, r.Hooks()[0].Secret})
	require.Contains(t, r.Hooks()[0].Events, "push")
	require.Len(t, r.Keys(), 1)
	require.True(t, r.Keys()[0].ReadOnly)

	again, err := w.host.Follow(t.Context(), "github/acme/shop", true, ci.Actor{})
	require.NoError(t, err)
	require.Equal(t, p, again)
	require.Len(t, r.Hooks(), 1, "twice is no second hook")
	require.Len(t, r.Keys(), 1)

	for range 2 {
		q, err := w.host.Follow(t.Context(), "gh/acme/shop", false, ci.Actor{})
		require.NoError(t, err)
		require.False(t, q.Followed)
	}
	require.Empty(t, r.Hooks())
	require.Empty(t, r.Keys())
	require.Empty(t, w.keys[p.ID].Private)
}

// TestSEC04_DeployKey: the key that is kept is the one that the code host
// knows, in a form that ssh reads.
func TestSEC04_DeployKey(t *testing.T) {
	w := newWorld(t, nil)
	r, p := w.follow("acme/shop")
	key := w.keys[p.ID]
	require.NotEmpty(t, key.Private)
	require.NotContains(t, w.log.String(), "PRIVATE")
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ssh-keygen is not installed")
		}
		t.Skip("ssh-keygen is not installed")
	}
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(key.Private), 0o600))
	public, err := exec.Command("ssh-keygen", "-y", "-f", file).Output()
	require.NoError(t, err)
	require.Equal(t, r.Keys()[0].Key, strings.Join(strings.Fields(string(public))[:2], " "))
	for kind, want := range map[string]string{"sha256": key.Fingerprint, "md5": "MD5:" + key.MD5} {
		out, err := exec.Command("ssh-keygen", "-l", "-E", kind, "-f", file).Output()
		require.NoError(t, err)
		require.Contains(t, string(out), want)
	}
}

// TestFollowTakesOver: a webhook that leads here already is used.
func TestFollowTakesOver(t *testing.T) {
	w := newWorld(t, nil)
	r := w.fake.Repo("acme/shop")
	old := r.AddHook(address+github.HookPath, "an old secret", "push")
	r.AddHook("https://elsewhere.example.com/hooks/github", "theirs", "push")
	w.follow("acme/shop")
	require.Len(t, r.Hooks(), 2)
	require.Equal(t, []any{old, secret}, []any{r.Hooks()[0].ID, r.Hooks()[0].Secret})
	require.Equal(t, "theirs", r.Hooks()[1].Secret)
}

func TestFollowRefuses(t *testing.T) {
	w := newWorld(t, nil)
	ask := func(slug string) error {
		_, err := w.host.Follow(t.Context(), slug, true, ci.Actor{})
		return err
	}
	for _, slug := range []string{"gh/acme/missing", "bb/acme/shop", "gh/acme", "gh/a/b/c", "gh/../shop", "gh/acme/..", "gh/acme/x?y", ""} {
		require.ErrorIs(t, ask(slug), ci.ErrNotFound, slug)
	}
	w.fake.AddToken("weak", "bob", "repo", "push")
	w.cfg.Token = func(context.Context) (string, error) { return "weak", nil }
	w.reopen()
	r := w.fake.Repo("acme/shop")
	require.ErrorIs(t, ask("gh/acme/shop"), ci.ErrDenied)
	w.cfg.Token = func(context.Context) (string, error) { return "revoked-canary-1", nil }
	w.reopen()
	err := ask("gh/acme/shop")
	require.ErrorIs(t, err, ci.ErrDenied)
	require.NotContains(t, err.Error(), "canary")
	w.cfg.Token = func(context.Context) (string, error) { return forgetest.Token, nil }
	w.reopen()

	r.ForbidKeys()
	require.ErrorIs(t, ask("gh/acme/shop"), ci.ErrDenied)
	require.Empty(t, r.Hooks(), "what cannot be completed leaves nothing behind")
	_, err = w.db.Doc(t.Context(), "github-repository", fmt.Sprint(r.ID()))
	require.ErrorIs(t, err, ci.ErrNotFound)

	_, p := w.follow("acme/other")
	p.RepoID = "1"
	require.NoError(t, w.db.PutProject(t.Context(), p))
	fresh := newWorldOver(t, w)
	require.ErrorIs(t, fresh("gh/acme/other"), ci.ErrConflict, "another repository had this name")
}

// newWorldOver returns follow on a host that has forgotten its links.
func newWorldOver(t *testing.T, w *world) func(slug string) error {
	for d, err := range w.db.Docs(t.Context(), ci.DocQuery{Kind: "github-repository", AllScopes: true}) {
		require.NoError(t, err)
		_, err := w.db.WriteDocs(t.Context(), ci.DocChange{Doc: ci.Doc{Kind: d.Kind, ID: d.ID, Version: ci.AnyVersion}, Delete: true})
		require.NoError(t, err)
	}
	return func(slug string) error {
		_, err := w.host.Follow(t.Context(), slug, true, ci.Actor{})
		return err
	}
}

// TestP10_FollowSurvivesEveryFault fails the k-th call, once before it takes
// effect and once after, for every k, and then lets Run complete: there is one
// webhook and one key, or none of either.
func TestP10_FollowSurvivesEveryFault(t *testing.T) {
	for _, done := range []bool{false, true} {
		for _, follow := range []bool{true, false} {
			for k := 0; ; k++ {
				w := newWorld(t, nil)
				r := w.fake.Repo("acme/shop")
				if !follow {
					w.follow("acme/shop")
				}
				n, hit := 0, false
				w.fake.SetFault(func(*http.Request) forgetest.Fault {
					if n++; n == k+1 {
						hit = true
						return forgetest.Fault{Status: 500, Done: done}
					}
					if n > k+1 {
						return forgetest.Fault{Status: 503} // and down from then on
					}
					return forgetest.Fault{}
				})
				_, err := w.host.Follow(t.Context(), "gh/acme/shop", follow, ci.Actor{})
				require.Equal(t, hit, err != nil, "call %d", k)
				require.False(t, errors.Is(err, ci.ErrInvalid))
				w.fake.SetFault(nil)
				w.due(t)
				w.reopen()
				stop := w.run()
				count := 1
				if !follow {
					count = 0
				}
				if follow && hit && k == 0 { // it never came to an intent
					count = 0
				}
				eventually(t, fmt.Sprintf("the end of what fault %d (done %v, follow %v) interrupted", k, done, follow), func() bool {
					p, err := w.db.ProjectBySlug(t.Context(), "gh/acme/shop")
					return len(r.Hooks()) == count && len(r.Keys()) == count && (err != nil || p.Followed == (count == 1))
				})
				stop()
				if !hit {
					break
				}
			}
		}
	}
}

// due makes everything that waits due now.
func (w *world) due(t *testing.T) {
	for d, err := range w.db.Docs(t.Context(), ci.DocQuery{Kind: "github-repository", AllScopes: true}) {
		require.NoError(t, err)
		if !d.Due.IsZero() {
			d.Due = d.Created
			_, err = w.db.WriteDocs(t.Context(), ci.DocChange{Doc: d})
			require.NoError(t, err)
		}
	}
}

// TestA014_NoTokenElsewhere: a code host that sends us to another address gets
// nothing, and that address neither.
func TestA014_NoTokenElsewhere(t *testing.T) {
	var asked []string
	w := newWorld(t, func(c *github.Config) {
		next := c.Transport
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Host)
			if strings.HasSuffix(r.URL.Path, "/repos/acme/evil") {
				return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"http://169.254.169.254/latest/meta-data"}}, Body: http.NoBody, Request: r}, nil
			}
			return next.RoundTrip(r)
		})
	})
	_, err := w.host.Project(t.Context(), "gh/acme/evil")
	require.ErrorIs(t, err, ci.ErrDenied)
	r, _ := w.follow("acme/shop")
	body := strings.Replace(push(r.ID(), "refs/heads/main", hash1, "one"), `"full_name"`,
		`"clone_url":"http://169.254.169.254/x","statuses_url":"http://169.254.169.254/y","url":"http://169.254.169.254/z","full_name"`, 1)
	status, _ := w.send(post{event: "push", body: body, header: http.Header{"X-Github-Enterprise-Host": {"169.254.169.254"}}})
	require.Equal(t, http.StatusOK, status)
	for _, host := range asked {
		require.Equal(t, strings.TrimPrefix(w.fake.URL(), "https://"), host)
	}
	require.NotContains(t, fmt.Sprint(w.pipelines()), "169.254")
}
