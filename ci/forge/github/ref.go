package github

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v89/github"

	"github.com/rondo-ci/rondo/ci"
)

// Trigger returns a ready trigger for what a reference stands for now: a branch
// or a tag by its full name, a pull request as refs/pull/N/head, or "HEAD", the
// default branch. An unknown one is [ci.ErrNotFound]. Its key is that of the
// webhook of the same push, so that one clears the other; whoever wants a new
// pipeline anyway takes the key away. A pull request from a fork is a trigger
// with Fork set, whoever asks for it.
func (r *Repo) Trigger(ctx context.Context, ref string) (ci.Trigger, error) {
	t, err := r.trigger(ctx, ref)
	if err != nil {
		return ci.Trigger{}, fmt.Errorf("%s of %s: %w", ref, r.project.Slug, err)
	}
	return t, nil
}

func (r *Repo) trigger(ctx context.Context, ref string) (ci.Trigger, error) {
	if ref == "HEAD" {
		repo, _, err := r.host.api.Repositories.Get(ctx, r.owner, r.name)
		if err != nil {
			return ci.Trigger{}, refusal(err)
		}
		ref = "refs/heads/" + repo.GetDefaultBranch()
	}
	if number, ok := pullOf(ref); ok {
		return r.pull(ctx, number)
	}
	if !isRef(ref) {
		return ci.Trigger{}, fmt.Errorf("no name of a branch or tag: %w", ci.ErrNotFound)
	}
	found, _, err := r.host.api.Git.GetRef(ctx, r.owner, r.name, ref)
	if err != nil {
		return ci.Trigger{}, refusal(err)
	}
	if found.GetRef() != ref {
		return ci.Trigger{}, ci.ErrNotFound
	}
	kind, hash := found.GetObject().GetType(), found.GetObject().GetSHA()
	for range 10 { // a tag may be of a tag
		if kind != "tag" {
			break
		}
		tag, _, err := r.host.api.Git.GetTag(ctx, r.owner, r.name, hash)
		if err != nil {
			return ci.Trigger{}, refusal(err)
		}
		kind, hash = tag.GetObject().GetType(), tag.GetObject().GetSHA()
	}
	if kind != "commit" {
		return ci.Trigger{}, fmt.Errorf("it is a %s, no commit: %w", kind, ci.ErrNotFound)
	}
	c, err := r.commit(ctx, hash)
	if err != nil {
		return ci.Trigger{}, err
	}
	return c.trigger(r.project.ID, ref), nil
}

// commit asks for what people read of a commit.
func (r *Repo) commit(ctx context.Context, hash string) (commit, error) {
	if !isHash(hash) {
		return commit{}, fmt.Errorf("commit %q: %w", hash, ci.ErrNotFound)
	}
	found, _, err := r.host.api.Repositories.GetCommit(ctx, r.owner, r.name, hash, &gh.ListOptions{PerPage: 1})
	if err != nil {
		if err = refusal(err); isInvalid(err) { // "No commit found for SHA"
			err = fmt.Errorf("%w: %w", err, ci.ErrNotFound)
		}
		return commit{}, fmt.Errorf("commit %s: %w", hash, err)
	}
	return commit{
		ID: found.GetSHA(), Message: found.GetCommit().GetMessage(),
		Author: person{Name: found.GetCommit().GetAuthor().GetName()},
	}, nil
}

// pull returns the trigger of a pull request as it is now.
func (r *Repo) pull(ctx context.Context, number int) (ci.Trigger, error) {
	p, _, err := r.host.api.PullRequests.Get(ctx, r.owner, r.name, number)
	if err != nil {
		return ci.Trigger{}, refusal(err)
	}
	c, err := r.commit(ctx, p.GetHead().GetSHA())
	if err != nil {
		return ci.Trigger{}, err
	}
	branch, fork := p.GetHead().GetRef(), ""
	ref := "refs/heads/" + branch
	if head := p.GetHead().GetRepo(); head.GetID() == 0 || head.GetID() != p.GetBase().GetRepo().GetID() {
		ref, fork = pullRef(number), head.GetFullName()
		if fork == "" { // the fork is gone, but what it sent is still no work of ours
			fork = "unknown/" + p.GetHead().GetUser().GetLogin()
		}
	}
	t := c.trigger(r.project.ID, ref)
	t.Fork, t.PullRequests = fork, []string{r.host.pullURL(r.owner, r.name, number)}
	return t, nil
}

// pullRef returns the reference of a pull request's head.
func pullRef(number int) string { return fmt.Sprintf("refs/pull/%d/head", number) }

// pullOf returns the number of the pull request that a reference is the head of.
func pullOf(ref string) (int, bool) {
	digits := strings.TrimSuffix(strings.TrimPrefix(ref, "refs/pull/"), "/head")
	n, err := strconv.Atoi(digits)
	return n, err == nil && n > 0 && ref == pullRef(n)
}

// maxRef is the length in bytes of the longest reference that is believed.
const maxRef = 1024

// isRef reports whether s is the full name of a branch or tag as git allows it.
// What is not could be an option, a path or a revision to somebody further on.
func isRef(s string) bool {
	name, branch := strings.CutPrefix(s, "refs/heads/")
	if !branch {
		var tag bool
		if name, tag = strings.CutPrefix(s, "refs/tags/"); !tag {
			return false
		}
	}
	if len(s) > maxRef || strings.HasPrefix(name, "-") || name == "@" || strings.Contains(name, "..") ||
		strings.Contains(name, "@{") || strings.HasSuffix(name, ".") {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c == 0x7f || strings.ContainsRune(`~^:?*[\`, c) {
			return false
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// isHash reports whether s is the full name of a commit.
func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}
