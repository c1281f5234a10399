package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// ErrNoRepository says that a folder is in no repository. It is a
// [ci.ErrNotFound].
var ErrNoRepository = fmt.Errorf("not a git repository: %w", ci.ErrNotFound)

// A Repo is a git folder on this machine. It may be bare, or a linked worktree.
// All methods are safe for concurrent use and read the repository anew at each
// call.
type Repo struct {
	dir     string // the top of the work tree; of a bare one, the repository itself
	gitDir  string // of this work tree
	common  string // the repository that worktrees share
	bare    bool
	project ci.Project
	objects *catFile
}

// Open finds the repository that the path lies in, from the path upwards. A path
// that does not exist is [ci.ErrNotFound], one in no repository is
// [ErrNoRepository], which is the same but can be told apart; a repository of
// another user, which git refuses to read, is [ci.ErrDenied], and the text
// says how to allow it. A repository without a commit opens.
func Open(ctx context.Context, path string) (*Repo, error) {
	r, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", path, err)
	}
	return r, nil
}

func open(ctx context.Context, path string) (*Repo, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("no such folder: %w", ci.ErrNotFound)
	case err != nil:
		return nil, err
	case !info.IsDir():
		path = filepath.Dir(path)
	}
	r := &Repo{dir: path}
	if err := r.locate(ctx); err != nil {
		return nil, refusal(err)
	}
	r.objects = &catFile{dir: r.dir}
	if r.project, err = r.describe(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// locate finds the folders of the repository that r.dir lies in.
func (r *Repo) locate(ctx context.Context) error {
	const git, common, top = "--git-dir", "--git-common-dir", "--show-toplevel"
	found, err := r.ask(ctx, git, common, top)
	if err == nil {
		r.gitDir, r.common, r.dir = found[0], found[1], found[2]
		return nil
	}
	// There is no work tree here, or no repository at all.
	found, err = r.ask(ctx, git, common)
	if err != nil {
		return err
	}
	r.gitDir, r.common, r.bare = found[0], found[1], true
	r.dir = r.gitDir
	if filepath.Base(r.gitDir) != ".git" {
		return nil
	}
	// Asked from within the repository of a work tree.
	around := &Repo{dir: filepath.Dir(r.gitDir)}
	if found, err := around.ask(ctx, git, top); err == nil && found[0] == r.gitDir {
		r.dir, r.bare = found[1], false
	}
	return ctx.Err()
}

// ask asks git for several paths at once, or one by one when a path with a
// newline makes the answer ambiguous.
func (r *Repo) ask(ctx context.Context, questions ...string) ([]string, error) {
	ask := func(questions ...string) ([]byte, error) {
		return git(ctx, r.dir, nil, nil, append([]string{"rev-parse", "--path-format=absolute"}, questions...)...)
	}
	out, err := ask(questions...)
	if err != nil {
		return nil, err
	}
	answers := strings.Split(line(out), "\n")
	if len(answers) == len(questions) {
		return answers, nil
	}
	answers = answers[:0]
	for _, q := range questions {
		out, err := ask(q)
		if err != nil {
			return nil, err
		}
		answers = append(answers, line(out))
	}
	return answers, nil
}

// refusal turns git's refusal of a folder into an error of ours.
func refusal(err error) error {
	var g *gitError
	switch {
	case !errors.As(err, &g):
		return err
	case strings.Contains(g.stderr, "dubious ownership"), strings.Contains(g.stderr, "is owned by someone else"):
		return fmt.Errorf("the folder belongs to another user; allow it with "+
			"`git config --global --add safe.directory PATH`: %w: %w", err, ci.ErrDenied)
	case strings.Contains(g.stderr, "not a git repository"):
		return ErrNoRepository
	}
	return err
}

// Dir returns the top of the work tree, or the folder of a bare repository. It
// is absolute, and what git can clone.
func (r *Repo) Dir() string { return r.dir }

// Head returns the branch that is checked out and its commit. The branch is ""
// when HEAD is detached. A repository without a commit is [ci.ErrNotFound], with
// the branch that the first one will be on.
func (r *Repo) Head(ctx context.Context) (branch, revision string, err error) {
	out, err := git(ctx, r.dir, nil, nil, "symbolic-ref", "--quiet", "HEAD")
	if err != nil && !exited(err, 1) {
		return "", "", fmt.Errorf("head of %s: %w", r.dir, err)
	}
	branch = strings.TrimPrefix(line(out), "refs/heads/")
	revision, err = r.resolve(ctx, "HEAD")
	if errors.Is(err, ci.ErrNotFound) {
		err = fmt.Errorf("there are no commits yet: %w", ci.ErrNotFound)
	}
	if err != nil {
		return branch, "", fmt.Errorf("head of %s: %w", r.dir, err)
	}
	return branch, revision, nil
}
