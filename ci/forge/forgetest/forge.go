package forgetest

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// A Forge is what Rondo asks of a code host about one repository. What does not
// exist is [ci.ErrNotFound].
type Forge interface {
	// File returns a file at a commit, by its full hash.
	File(ctx context.Context, revision, path string) ([]byte, error)
	// Trigger returns a ready trigger for a branch or tag, by its full name, or
	// "HEAD".
	Trigger(ctx context.Context, ref string) (ci.Trigger, error)
	// Refs returns the commit of every branch and tag, by full name.
	Refs(ctx context.Context) (map[string]string, error)
}

// An Opening is a forge that stands open.
type Opening struct {
	Forge Forge
	// Triggers are those that the forge makes by itself; it has room for all of a test, two hundred.
	Triggers <-chan ci.Trigger
	// Moved tells the code host that a reference has gone from one object to
	// another, "" being none; nil when it sees for itself.
	Moved func(ref, before, after string)
}

// TestForge tries a code host: open makes one of a bare git folder, which
// belongs to acme/shop, whose default branch is main.
func TestForge(t *testing.T, open func(t *testing.T, dir string) Opening) {
	for name, test := range map[string]func(t *testing.T, s *stage){
		"File": testFile, "Trigger": testTrigger, "Refs": testRefs, "Pushes": testPushes, "Skips": testSkips, "Unknown": testUnknown,
	} {
		t.Run(name, func(t *testing.T) {
			s := &stage{t: t, dir: filepath.Join(t.TempDir(), "acme", "shop.git")}
			must(t, "init", exec.Command("git", "init", "--quiet", "--bare", "--initial-branch=main", s.dir))
			s.first = s.commit("main", "first", map[string]string{
				".circleci/config.yml": "version: 2.1\n", "a b/ü#?%.txt": "odd", "link": "symlink:.circleci/config.yml", "out": "symlink:/etc/passwd",
			})
			s.Opening = open(t, s.dir)
			test(t, s)
		})
	}
}

// A stage is one test's repository.
type stage struct {
	Opening
	t     *testing.T
	dir   string
	first string // the commit that was there at the start
}

func (s *stage) commit(branch, message string, files map[string]string) string {
	s.t.Helper()
	return commitFiles(s.t, s.dir, branch, message, files)
}

func (s *stage) git(args ...string) string {
	s.t.Helper()
	return must(s.t, args[0], exec.Command("git", append([]string{"-C", s.dir}, args...)...))
}

// push commits to a branch and tells the code host.
func (s *stage) push(branch, message string, files map[string]string) string {
	s.t.Helper()
	ref := "refs/heads/" + branch
	before := s.at(ref)
	hash := s.commit(branch, message, files)
	s.moved(ref, before, hash)
	return hash
}

func (s *stage) moved(ref, before, after string) {
	if s.Moved != nil {
		s.Moved(ref, before, after)
	}
}

func (s *stage) at(ref string) string {
	s.t.Helper()
	return s.git("for-each-ref", "--format=%(objectname)", ref)
}

// next returns the next trigger that the forge makes by itself.
func (s *stage) next() ci.Trigger {
	s.t.Helper()
	select {
	case t := <-s.Triggers:
		return t
	case <-time.After(time.Minute):
		s.t.Fatal("no trigger came")
	}
	return ci.Trigger{}
}

func testFile(t *testing.T, s *stage) {
	second := s.commit("main", "second", map[string]string{".circleci/config.yml": "version: 2.1 # second\n"})
	for path, want := range map[string]string{".circleci/config.yml": "version: 2.1\n", "a b/ü#?%.txt": "odd", "link": "version: 2.1\n"} {
		got, err := s.Forge.File(t.Context(), s.first, path)
		require.NoError(t, err, path)
		require.Equal(t, want, string(got), path)
	}
	got, err := s.Forge.File(t.Context(), second, ".circleci/config.yml")
	require.NoError(t, err)
	require.Equal(t, "version: 2.1 # second\n", string(got))

	for _, path := range []string{"missing", ".circleci", ".circleci/config.yml/x", "out"} {
		got, err := s.Forge.File(t.Context(), s.first, path)
		require.ErrorIs(t, err, ci.ErrNotFound, "%s: %q", path, got)
	}
	for _, path := range []string{"", ".", "/etc/passwd", "../x", "a/../b", "./x", "a//b", "a\x00b"} {
		_, err := s.Forge.File(t.Context(), s.first, path)
		require.ErrorIs(t, err, ci.ErrInvalid, "%q", path)
	}
	_, err = s.Forge.File(t.Context(), strings.Repeat("1", 40), ".circleci/config.yml")
	require.ErrorIs(t, err, ci.ErrNotFound)
}

func testTrigger(t *testing.T, s *stage) {
	hash := s.commit("feature/ü-1", "The subject\n\nThe body\n\nand more", nil)
	s.git("tag", "v1", hash)
	s.git("tag", "-a", "-m", "a tag", "v2", hash)
	s.git("tag", "-a", "-m", "a tag of a tag", "v3", "v2")
	want := ci.Trigger{Source: ci.SourceWebhook, Revision: hash, Subject: "The subject", Body: "The body\n\nand more", Author: "Ada"}
	for ref, c := range map[string]struct{ branch, tag string }{
		"refs/heads/feature/ü-1": {"feature/ü-1", ""}, "refs/tags/v1": {"", "v1"}, "refs/tags/v2": {"", "v2"}, "refs/tags/v3": {"", "v3"},
	} {
		got, err := s.Forge.Trigger(t.Context(), ref)
		require.NoError(t, err, ref)
		want.Branch, want.Tag, want.Key = c.branch, c.tag, ref+"@"+hash
		want.Project, want.Actor = got.Project, got.Actor
		require.Equal(t, want, got, ref)
		require.Equal(t, ci.ActorForge, got.Actor.Kind)
	}
	got, err := s.Forge.Trigger(t.Context(), "HEAD")
	require.NoError(t, err)
	require.Equal(t, "main", got.Branch)
	require.Equal(t, s.first, got.Revision)
}

func testRefs(t *testing.T, s *stage) {
	want := map[string]string{"refs/heads/main": s.first}
	hash := s.commit("many/0", "side", nil)
	var updates strings.Builder
	for i := range 120 { // more than a page
		ref := "refs/heads/many/" + string(rune('A'+i/26)) + string(rune('a'+i%26))
		updates.WriteString("create " + ref + " " + hash + "\n")
		want[ref] = hash
	}
	want["refs/heads/many/0"] = hash
	cmd := exec.Command("git", "-C", s.dir, "update-ref", "--stdin")
	cmd.Stdin = strings.NewReader(updates.String())
	must(t, "update-ref", cmd)
	s.git("tag", "v1", s.first)
	s.git("tag", "-a", "-m", "a tag", "v2", hash)
	want["refs/tags/v1"], want["refs/tags/v2"] = s.first, hash
	got, err := s.Forge.Refs(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func testPushes(t *testing.T, s *stage) {
	one := s.push("main", "one", map[string]string{"a": "1"})
	got := s.next()
	require.Equal(t, "main", got.Branch)
	require.Equal(t, one, got.Revision)
	require.Equal(t, s.first, got.Base)
	require.Equal(t, "refs/heads/main@"+one, got.Key)
	require.Equal(t, "one", got.Subject)
	require.Empty(t, got.Fork)

	side := s.push("side/x", "two\n\nbody", nil)
	got = s.next()
	require.Equal(t, []string{"side/x", side, "two", "body", ""}, []string{got.Branch, got.Revision, got.Subject, got.Body, got.Tag})

	s.git("tag", "-a", "-m", "release", "v1", one)
	s.moved("refs/tags/v1", "", s.at("refs/tags/v1"))
	got = s.next()
	require.Equal(t, []string{"", "v1", one}, []string{got.Branch, got.Tag, got.Revision}, "of an annotated tag, the commit")

	s.git("update-ref", "-d", "refs/heads/side/x")
	s.moved("refs/heads/side/x", side, "")
	last := s.push("main", "after the deletion", nil)
	require.Equal(t, last, s.next().Revision, "a deleted branch triggers nothing")
}

func testSkips(t *testing.T, s *stage) {
	long := strings.Repeat("ä", 250)
	for _, message := range []string{"[skip ci] one", "one [ci skip]", "one\n\nbody [skip ci]"} {
		s.push("main", message, nil)
		marker := s.push("marker", message[:3]+" marker "+message[len(message)-3:], nil)
		require.Equal(t, marker, s.next().Revision, message)
	}
	for _, message := range []string{long + "[skip ci]", "one\n\n" + long + "[ci skip]", "[skip-ci]", "[CI SKIP]"} {
		require.Equal(t, s.push("main", message, nil), s.next().Revision, message)
	}
}

func testUnknown(t *testing.T, s *stage) {
	for _, ref := range []string{
		"refs/heads/missing", "refs/tags/main", "refs/heads/mai", "refs/heads/", "refs/heads/main~1", "refs/heads/main^{}", "refs/heads/../heads/main",
		"refs/heads/main.lock", "refs/heads/ma\nin", "refs/heads/-x", "main", s.first, "", "-h", "refs/remotes/origin/main", "refs/heads/" + strings.Repeat("x", 3000),
	} {
		_, err := s.Forge.Trigger(t.Context(), ref)
		require.ErrorIs(t, err, ci.ErrNotFound, "%q", ref)
	}
}
