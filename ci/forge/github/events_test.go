package github_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
)

// TestA017_ForkPullRequests: forks are built only when the project says so, and
// then as forks, whatever their branch is called and whoever wrote the commit.
func TestA017_ForkPullRequests(t *testing.T) {
	w := newWorld(t, nil)
	r, p := w.follow("acme/shop")
	fork := r.Fork("mallory")
	fork.Commit("main", "[skip ci] Ada's own commit, it says", map[string]string{"Makefile": "evil"})
	first := r.OpenPull(fork, "main", "please build")
	require.Equal(t, http.StatusOK, last(t, r).Status)
	require.Empty(t, w.pipelines(), "off by default")

	w.set(p, ci.Settings{BuildForks: true})
	head := fork.Commit("main", "[skip ci] two", nil)
	r.SyncPull(first)
	require.Equal(t, http.StatusOK, last(t, r).Status, last(t, r).Answer)
	all := w.pipelines()
	require.Len(t, all, 1, "skip marks of a fork do not count")
	got := all[0]
	require.Equal(t, "pull/1", got.Branch, "never the name that the fork chose")
	require.Equal(t, "mallory/shop", got.Fork)
	require.Equal(t, head, got.Revision)
	require.Equal(t, []string{w.fake.URL() + "/acme/shop/pull/1"}, got.PullRequests)
	require.Equal(t, "octocat", got.Actor.Login, "the sender, not the author")
	require.Equal(t, "[skip ci] two", got.Subject)
	require.NotEmpty(t, got.Base)
	require.Equal(t, "refs/pull/1/head@"+head, got.Key)

	asked, err := w.host.Repo(p).Trigger(t.Context(), "refs/pull/1/head")
	require.NoError(t, err)
	require.Equal(t, []string{got.Fork, got.Branch, got.Revision, got.Key}, []string{asked.Fork, asked.Branch, asked.Revision, asked.Key},
		"who asks by hand gets the same trust")

	r.ClosePull(first)
	r.ReopenPull(first)
	require.Len(t, w.pipelines(), 1, "the same commit is built once")
}

// TestPullRequests of the repository itself: the push was built already, and
// later pushes know of it.
func TestPullRequests(t *testing.T) {
	w := newWorld(t, nil)
	r, p := w.follow("acme/shop")
	r.Push("side", "one", nil)
	require.Len(t, w.pipelines(), 1)
	n := r.OpenPull(r, "side", "a change")
	require.Len(t, w.pipelines(), 1)
	r.Push("side", "two", nil)
	require.Equal(t, []string{w.fake.URL() + "/acme/shop/pull/1"}, w.pipelines()[1].PullRequests)
	open, err := w.host.Repo(p).Pulls(t.Context(), "side")
	require.NoError(t, err)
	require.Equal(t, w.pipelines()[1].PullRequests, open)
	r.ClosePull(n)
	r.Push("side", "three", nil)
	require.Empty(t, w.pipelines()[2].PullRequests)
	open, err = w.host.Repo(p).Pulls(t.Context(), "side")
	require.NoError(t, err)
	require.Empty(t, open)
}

// TestOnlyPullRequests: a branch waits for its pull request; the default
// branch, tags and exempt branches do not.
func TestOnlyPullRequests(t *testing.T) {
	w := newWorld(t, nil)
	r, p := w.follow("acme/shop")
	w.set(p, ci.Settings{OnlyPullRequests: true, PullRequestExempt: []string{"release"}})
	names := func() (all []string) {
		for _, t := range w.pipelines() {
			all = append(all, t.Branch+t.Tag+" "+t.Subject)
		}
		return all
	}
	r.Push("side", "one", nil)
	r.Push("quiet", "two [ci skip]", nil)
	require.Empty(t, names())
	main := r.Push("main", "three", nil)
	r.Push("release", "four", nil)
	r.PushTag("v1", main, "")
	require.Equal(t, []string{"main three", "release four", "v1 three"}, names())

	r.OpenPull(r, "side", "now")
	require.Equal(t, "side one", names()[3], "what was pushed before is built now")
	r.OpenPull(r, "quiet", "skipped")
	require.Len(t, names(), 4)
	r.Push("side", "five", nil)
	require.Equal(t, "side five", names()[4])
	r.SyncPull(1)
	require.Len(t, names(), 5, "the push and the pull request are one")

	// A pull request that we were not told of, and a code host that does not say.
	w.off(true)
	r.Push("late", "six", nil)
	r.OpenPull(r, "late", "unheard")
	w.off(false)
	w.fake.SetFault(func(*http.Request) forgetest.Fault { return forgetest.Fault{Status: 500} })
	r.Push("late", "seven", nil)
	require.Equal(t, http.StatusServiceUnavailable, last(t, r).Status, "not knowing is no reason to leave it out")
	w.fake.SetFault(nil)
	r.Push("late", "eight", nil)
	require.Equal(t, "late eight", names()[5])
	require.Len(t, w.pipelines()[5].PullRequests, 1)
}

// TestBookkeeping: renames are followed by the code host's own word, a
// repository that takes over the name is another one.
func TestBookkeeping(t *testing.T) {
	w := newWorld(t, nil)
	r, p := w.follow("acme/shop")
	stop := w.run()
	defer stop()
	r.Rename("acme/market")
	eventually(t, "the new name", func() bool {
		now, err := w.db.Project(t.Context(), p.ID)
		return err == nil && now.Slug == "gh/acme/market"
	})
	r.Push("main", "after the rename", nil)
	require.Len(t, w.pipelines(), 1)
	require.Equal(t, p.ID, w.pipelines()[0].Project)

	other, q := w.follow("acme/shop")
	_ = other
	require.NotEqual(t, p.ID, q.ID, "the old name is another project now")

	r.Push("side", "two", nil)
	r.Delete("refs/heads/side")
	require.Equal(t, http.StatusOK, last(t, r).Status, last(t, r).Answer)
	require.Len(t, w.pipelines(), 2)
}

// A branch that is deleted is told of: what its configuration had planned is
// over. A tag is none, and a deletion that a newer push overtook is no news.
func TestBranchGone(t *testing.T) {
	var gone []string
	w := newWorld(t, func(c *github.Config) {
		c.Gone = func(_ context.Context, p ci.ProjectID, branch string) error {
			gone = append(gone, string(p)+" "+branch)
			return nil
		}
	})
	r, p := w.follow("acme/shop")
	side := r.Push("feature/x", "one", nil)
	r.PushTag("v1", side, "")
	r.Delete("refs/heads/feature/x")
	r.Delete("refs/tags/v1")
	require.Equal(t, []string{string(p.ID) + " feature/x"}, slices.Compact(gone))
}
