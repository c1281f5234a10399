package github

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	gh "github.com/google/go-github/v89/github"

	"github.com/rondo-ci/rondo/ci"
)

// A Repo is one repository on a [Host]. It is a handle without state.
type Repo struct {
	host    *Host
	project ci.Project
	owner   string
	name    string
}

// Repo returns the repository of a project. Whether there is one shows when it
// is asked.
func (h *Host) Repo(p ci.Project) *Repo {
	return &Repo{host: h, project: p, owner: p.Org, name: p.Repo}
}

// MaxFile is the size in bytes of the largest file that [Repo.File] returns.
const MaxFile = 16 << 20

// File returns the content of a file at a revision, which is a commit's hash or
// what the code host takes for one. The path is relative to the top, with
// slashes; links within the repository are followed. A revision or file that
// does not exist is [ci.ErrNotFound], as is a folder; a file larger than
// [MaxFile] or a path that is not clean is [ci.ErrInvalid].
func (r *Repo) File(ctx context.Context, rev, path string) ([]byte, error) {
	data, err := r.file(ctx, rev, path)
	if err != nil {
		return nil, fmt.Errorf("file %s at %s: %w", path, rev, err)
	}
	return data, nil
}

func (r *Repo) file(ctx context.Context, rev, path string) ([]byte, error) {
	switch {
	case !fs.ValidPath(path) || path == "." || strings.ContainsAny(path, "\n\x00"):
		return nil, fmt.Errorf("path: %w", ci.ErrInvalid)
	case rev == "" || strings.HasPrefix(rev, "-"):
		return nil, fmt.Errorf("revision: %w", ci.ErrInvalid)
	}
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	address := fmt.Sprintf("repos/%s/%s/contents/%s?ref=%s", url.PathEscape(r.owner), url.PathEscape(r.name),
		strings.Join(parts, "/"), url.QueryEscape(rev))
	req, err := r.host.api.NewRequest(ctx, "GET", address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.github.raw+json")
	resp, err := r.host.api.BareDo(req)
	if err != nil {
		return nil, refusal(err)
	}
	defer resp.Body.Close()
	switch kind := resp.Header.Get("Content-Type"); {
	case strings.HasPrefix(kind, "application/json"):
		return nil, fmt.Errorf("it is not a file: %w", ci.ErrNotFound) // a folder is listed instead
	case !strings.HasPrefix(kind, "application/vnd.github."):
		return nil, fmt.Errorf("the answer is %q, which is none of the code host; is there a proxy or a login page in between?", cut(kind, 100))
	}
	var data bytes.Buffer
	if _, err := data.ReadFrom(&bounded{ReadCloser: resp.Body, left: MaxFile}); err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}

// Refs returns the commit of every branch and tag, by full name
// ("refs/heads/main"). It asks once for each hundred of them.
func (r *Repo) Refs(ctx context.Context) (map[string]string, error) {
	refs := map[string]string{}
	err := pages(func(page gh.ListOptions) (*gh.Response, error) {
		list, resp, err := r.host.api.Repositories.ListBranches(ctx, r.owner, r.name, &gh.BranchListOptions{ListOptions: page})
		for _, b := range list {
			refs["refs/heads/"+b.GetName()] = b.GetCommit().GetSHA()
		}
		return resp, err
	})
	if err == nil {
		err = pages(func(page gh.ListOptions) (*gh.Response, error) {
			list, resp, err := r.host.api.Repositories.ListTags(ctx, r.owner, r.name, &page)
			for _, t := range list {
				refs["refs/tags/"+t.GetName()] = t.GetCommit().GetSHA()
			}
			return resp, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("references of %s: %w", r.project.Slug, err)
	}
	return refs, nil
}

// pages asks for one page after the other, a hundred entries each.
func pages(ask func(page gh.ListOptions) (*gh.Response, error)) error {
	const most = 1000 // a host that always names a next page ends here
	page := gh.ListOptions{PerPage: 100}
	for range most {
		resp, err := ask(page)
		if err != nil {
			return refusal(err)
		}
		if resp.NextPage <= page.Page {
			return nil
		}
		page.Page = resp.NextPage
	}
	return nil
}

// Pulls returns the addresses of the open pull requests from a branch of the
// repository itself, oldest first.
func (r *Repo) Pulls(ctx context.Context, branch string) ([]string, error) {
	var open []string
	list, _, err := r.host.api.PullRequests.List(ctx, r.owner, r.name, &gh.PullRequestListOptions{
		State: "open", Head: r.owner + ":" + branch, Direction: "asc", ListOptions: gh.ListOptions{PerPage: 100},
	})
	if err != nil {
		return nil, fmt.Errorf("pull requests of %s from %s: %w", r.project.Slug, branch, refusal(err))
	}
	for _, p := range list {
		if p.GetHead().GetRef() == branch && p.GetHead().GetRepo().GetID() == p.GetBase().GetRepo().GetID() {
			open = append(open, r.host.pullURL(r.owner, r.name, p.GetNumber()))
		}
	}
	return open, nil
}

// pullURL returns the page of a pull request.
func (h *Host) pullURL(owner, name string, number int) string {
	return fmt.Sprintf("%s/%s/%s/pull/%d", h.web, owner, name, number)
}

// Project returns what the code host knows of a repository, as a project
// without an ID that nobody follows. An unknown one is [ci.ErrNotFound].
func (h *Host) Project(ctx context.Context, slug string) (ci.Project, error) {
	owner, name, err := split(slug)
	if err != nil {
		return ci.Project{}, err
	}
	repo, _, err := h.api.Repositories.Get(ctx, owner, name)
	if err != nil {
		return ci.Project{}, fmt.Errorf("repository %s: %w", slug, refusal(err))
	}
	return h.describe(repo)
}

// describe returns a repository as a project.
func (h *Host) describe(repo *gh.Repository) (ci.Project, error) {
	p := ci.Project{
		Org: repo.GetOwner().GetLogin(), Repo: repo.GetName(), RepoID: fmt.Sprint(repo.GetID()),
		DefaultBranch: repo.GetDefaultBranch(), CloneURL: repo.GetCloneURL(),
	}
	p.Slug = "gh/" + p.Org + "/" + p.Repo
	if _, _, err := split(p.Slug); err != nil || repo.GetID() == 0 {
		return ci.Project{}, fmt.Errorf("the code host's answer names no repository: %w", ci.ErrInvalid)
	}
	if h.cfg.KeepKey != nil { // the deploy key is for SSH
		p.CloneURL = repo.GetSSHURL()
	}
	return p, nil
}

// split returns the owner and the name in a slug gh/owner/name.
func split(slug string) (owner, name string, err error) {
	parts := strings.Split(slug, "/")
	if len(parts) != 3 || parts[0] != "gh" && parts[0] != "github" || !isName(parts[1]) || !isName(parts[2]) {
		return "", "", fmt.Errorf("project %q is none of this code host; it should look like gh/owner/repository: %w", slug, ci.ErrNotFound)
	}
	return parts[1], parts[2], nil
}

// isName reports whether s can be the name of an owner or a repository.
func isName(s string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}
	return s != "" && len(s) <= 100 && s != "." && s != ".." && !strings.ContainsFunc(s, odd)
}
