package local_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/local"
)

func exampleOpen(dir string) (context.Context, *local.Repo) {
	ctx := context.Background()
	r, err := local.Open(ctx, dir)
	if err != nil {
		fmt.Println(err)
	}
	return ctx, r
}

// watch follows the folder until the test ends. Without seen, what is there now
// counts as seen, however long the first look takes.
func watch(t *testing.T, r *local.Repo, seen func(ref, rev string) bool) <-chan ci.Trigger {
	t.Helper()
	if seen == nil {
		known, err := r.Refs(t.Context())
		require.NoError(t, err)
		seen = func(ref, rev string) bool { return known[ref] == rev }
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := make(chan ci.Trigger, 200)
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for tr, err := range r.Watch(ctx, local.WatchConfig{Interval: 20 * time.Millisecond, Seen: seen}) {
			if err != nil {
				if ctx.Err() == nil {
					out <- ci.Trigger{Key: "error", Subject: err.Error()}
				}
				continue
			}
			out <- tr
		}
	}()
	return out
}

func next(t *testing.T, c <-chan ci.Trigger) ci.Trigger {
	t.Helper()
	select {
	case tr := <-c:
		return tr
	case <-time.After(10 * time.Second):
		require.Fail(t, "no trigger")
		return ci.Trigger{}
	}
}

func none(t *testing.T, c <-chan ci.Trigger) {
	t.Helper()
	select {
	case tr := <-c:
		require.Fail(t, "unexpected trigger", "%+v", tr)
	case <-time.After(150 * time.Millisecond):
	}
}

func TestWatch(t *testing.T) {
	dir := folder(t)
	one := commit(t, dir, "one")
	r := open(t, dir)
	c := watch(t, r, nil)
	none(t, c)

	two := commit(t, dir, "two\n\nbody")
	tr := next(t, c)
	require.Equal(t, ci.Trigger{
		Project: r.Project().ID, Key: "refs/heads/main@" + two, Source: ci.SourceWebhook,
		Actor: ci.Actor{Kind: ci.ActorForge, Login: "Ada"}, Branch: "main", Revision: two, Base: one,
		Subject: "two", Body: "body", Author: "Ada",
	}, tr)
	same, err := r.Trigger(t.Context(), "HEAD")
	require.NoError(t, err)
	tr.Base = ""
	require.Equal(t, tr, same)

	// Quickly after one another, within the grain of a file system's clock.
	for i := range 5 {
		rev := commit(t, dir, fmt.Sprint("quick ", i))
		for next(t, c).Revision != rev {
		}
	}

	// A push of three commits is one pipeline.
	clone := filepath.Join(t.TempDir(), "clone")
	sh(t, dir, "clone", "--quiet", dir, clone)
	sh(t, clone, "checkout", "--quiet", "-b", "feature/-x")
	for i := range 3 {
		commit(t, clone, fmt.Sprint("feature ", i))
	}
	sh(t, clone, "push", "--quiet", "origin", "feature/-x")
	tr = next(t, c)
	require.Equal(t, "feature/-x", tr.Branch)
	require.Equal(t, "feature 2", tr.Subject)
	require.Empty(t, tr.Base)
	none(t, c)

	sh(t, clone, "commit", "--quiet", "--amend", "-m", "forced")
	sh(t, clone, "push", "--quiet", "--force", "origin", "feature/-x")
	require.Equal(t, "forced", next(t, c).Subject)

	sh(t, dir, "branch", "-D", "--", "feature/-x")
	none(t, c)
	sh(t, dir, "branch", "again")
	require.Equal(t, "again", next(t, c).Branch)

	sh(t, dir, "tag", "light")
	require.Equal(t, "light", next(t, c).Tag)
	sh(t, dir, "tag", "-m", "x", "v1.0")
	tr = next(t, c)
	require.Equal(t, []string{"v1.0", "", "refs/tags/v1.0"}, []string{tr.Tag, tr.Branch, tr.Key[:14]})
	sh(t, dir, "tag", "-m", "x", "nested", "v1.0")
	require.Equal(t, tr.Revision, next(t, c).Revision)
	sh(t, dir, "tag", "tree", "HEAD^{tree}")
	sh(t, dir, "pack-refs", "--all", "--prune")
	sh(t, dir, "gc", "--quiet")
	none(t, c)
	sh(t, dir, "update-ref", "refs/heads/packed/now", "HEAD~1")
	require.Equal(t, "packed/now", next(t, c).Branch)
	sh(t, dir, "reset", "--quiet", "--hard", "HEAD~2")
	require.Equal(t, "main", next(t, c).Branch, "moved back")
	none(t, c)
}

func TestWatchSkips(t *testing.T) {
	dir := folder(t)
	commit(t, dir, "one")
	c := watch(t, open(t, dir), nil)
	for _, m := range []string{
		"fix [ci skip]", "[skip ci] x", "title\n\n" + strings.Repeat("ü", 240) + "[skip ci]",
		strings.Repeat("x", 241) + "[ci skip]",
	} {
		commit(t, dir, m)
		none(t, c)
	}
	for _, m := range []string{strings.Repeat("x", 242) + "[ci skip]", "t\n\n" + strings.Repeat("x", 250) + "[skip ci]", "[ci  skip]"} {
		rev := commit(t, dir, m)
		require.Equal(t, rev, next(t, c).Revision)
	}
}

func TestWatchNothingNew(t *testing.T) {
	dir := folder(t)
	commit(t, dir, "one")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	n := 0
	for tr, err := range open(t, dir).Watch(ctx, local.WatchConfig{Interval: time.Millisecond}) {
		require.ErrorIs(t, err, context.DeadlineExceeded, "%+v", tr)
		n++
	}
	require.Equal(t, 1, n, "the end of ctx is told once")
	for range open(t, dir).Watch(t.Context(), local.WatchConfig{Seen: func(string, string) bool { return false }}) {
		break // the caller wants no more
	}
}

func TestWatchFromKnownState(t *testing.T) {
	dir := folder(t)
	one := commit(t, dir, "one")
	sh(t, dir, "branch", "quiet")
	known, err := open(t, dir).Refs(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"refs/heads/main": one, "refs/heads/quiet": one}, known)
	// While nobody looked:
	two := commit(t, dir, "two")
	sh(t, dir, "tag", "v1")
	c := watch(t, open(t, dir), func(ref, rev string) bool { return known[ref] == rev })
	require.Equal(t, "refs/heads/main@"+two, next(t, c).Key)
	require.Equal(t, "refs/tags/v1@"+two, next(t, c).Key)
	none(t, c)
}

func TestWatchFromNothing(t *testing.T) {
	dir := folder(t)
	tree := filepath.Join(t.TempDir(), "linked")
	c := watch(t, open(t, dir), nil)
	first := commit(t, dir, "one")
	require.Equal(t, first, next(t, c).Revision)
	sh(t, dir, "worktree", "add", "--quiet", "-b", "side", tree)
	require.Equal(t, "side", next(t, c).Branch)
	d := watch(t, open(t, tree), nil)
	rev := commit(t, tree, "in the worktree")
	require.Equal(t, rev, next(t, c).Revision)
	require.Equal(t, rev, next(t, d).Revision)

	bare := filepath.Join(t.TempDir(), "bare.git")
	sh(t, dir, "clone", "--quiet", "--bare", dir, bare)
	e := watch(t, open(t, bare), nil)
	sh(t, dir, "push", "--quiet", bare, "main:new")
	require.Equal(t, "new", next(t, e).Branch)
}

func TestWatchSurvivesErrors(t *testing.T) {
	dir := folder(t)
	commit(t, dir, "one")
	c := watch(t, open(t, dir), nil)
	require.NoError(t, os.Rename(dir, dir+".away"))
	require.Equal(t, "error", next(t, c).Key)
	none(t, c)
	require.NoError(t, os.Rename(dir+".away", dir))
	rev := commit(t, dir, "two")
	for next(t, c).Revision != rev { // a different error may come in between
	}
}

// TestWatchReftable needs a git that knows the format.
func TestWatchReftable(t *testing.T) {
	home(t)
	dir := filepath.Join(t.TempDir(), "acme", "shop")
	if err := exec.Command("git", "init", "--quiet", "--ref-format=reftable", dir).Run(); err != nil {
		t.Skip("this git does not know the reftable format")
	}
	commit(t, dir, "one")
	c := watch(t, open(t, dir), nil)
	rev := commit(t, dir, "two")
	require.Equal(t, rev, next(t, c).Revision)
}

func BenchmarkWatchIdle(b *testing.B) {
	dir := folder(b)
	commit(b, dir, "one")
	r := open(b, dir)
	for b.Loop() {
		if _, err := r.Refs(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// Of a branch or tag that is deleted Gone is told, once.
func TestWatchGone(t *testing.T) {
	dir := folder(t)
	commit(t, dir, "one")
	sh(t, dir, "branch", "side")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looked := make(chan struct{}, 10)
	gone := make(chan string, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range open(t, dir).Watch(ctx, local.WatchConfig{Interval: 5 * time.Millisecond, Seen: func(string, string) bool { looked <- struct{}{}; return true }, Gone: func(ref string) { gone <- ref }}) {
			continue
		}
	}()
	<-looked
	<-looked // main and side are known
	sh(t, dir, "branch", "-D", "side")
	require.Equal(t, "refs/heads/side", <-gone)
	cancel()
	<-done
	require.Empty(t, gone)
}
