package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/ci/web"
)

// hosts are the code hosts of a team's server: GitHub for the slugs that begin
// with gh, and the folders of this machine for all others.
type hosts struct {
	folders
	github *github.Host // nil for none
}

// pullBranch is the branch that pipelines of pull requests from forks have.
var pullBranch = regexp.MustCompile(`^pull/[0-9]+$`)

// on returns GitHub if the project is there.
func (h *hosts) on(slug string) *github.Host {
	if strings.HasPrefix(slug, "gh/") {
		return h.github
	}
	return nil
}

// File returns a file at a commit.
func (h *hosts) File(ctx context.Context, p ci.Project, revision, path string) ([]byte, error) {
	if host := h.on(p.Slug); host != nil {
		return host.Repo(p).File(ctx, revision, path)
	}
	return h.folders.File(ctx, p, revision, path)
}

// Complete returns what is known of the commit that a trigger is for.
func (h *hosts) Complete(ctx context.Context, p ci.Project, t ci.Trigger) (ci.Trigger, error) {
	host := h.on(p.Slug)
	if host == nil {
		return h.folders.Complete(ctx, p, t)
	}
	ref := "HEAD"
	switch {
	case t.Tag != "":
		ref = "refs/tags/" + t.Tag
	case pullBranch.MatchString(t.Branch): // of a pull request: whether it comes from a fork decides what it may know
		ref = "refs/" + t.Branch + "/head"
	case t.Branch != "":
		ref = "refs/heads/" + t.Branch
	}
	full, err := host.Repo(p).Trigger(ctx, ref)
	if err == nil && t.Revision != "" && full.Revision != t.Revision {
		return ci.Trigger{}, fmt.Errorf("%s is at commit %.12s, not %.12s: leave the commit out, or name the branch that is there: %w", ref, full.Revision, t.Revision, ci.ErrInvalid)
	}
	return full, err
}

// Follow makes the code host tell of what is new in a repository.
func (h *hosts) Follow(ctx context.Context, slug string, follow bool, by ci.Actor) (ci.Project, error) {
	if host := h.on(slug); host != nil {
		return host.Follow(ctx, slug, follow, by)
	}
	return h.folders.Follow(ctx, slug, follow, by)
}

// Key makes the code host accept a checkout key of the project, or refuse it.
func (h *hosts) Key(ctx context.Context, p ci.Project, k ci.Key, accept bool) error {
	if host := h.on(p.Slug); host != nil {
		return host.AcceptKey(ctx, p.ID, k, accept, ci.Actor{})
	}
	return h.folders.Key(ctx, p, k, accept)
}

// openGitHub opens the border to GitHub in an installation that is open.
func (s *teamServer) openGitHub(set githubSettings) (*github.Host, error) {
	transport, err := s.reach.way(set.CA)
	if err != nil {
		return nil, fmt.Errorf("github.ca: %w", err)
	}
	host, err := github.New(s.db, github.Config{
		URL: set.Host, Server: s.url, Transport: transport, Log: s.log,
		Token: func(context.Context) (string, error) { return set.Token.read() },
		Secrets: func(_ context.Context, p ci.ProjectID) ([]string, error) {
			if p != "" { // those of the installation hold for all
				return nil, nil
			}
			secret, err := set.WebhookSecret.read()
			return []string{secret}, err
		},
		KeepKey: s.safe.KeepKey, Trigger: s.engine.Server.Trigger, Events: s.engine.Server.Follow, Gone: s.clock.BranchGone,
		Status: github.StatusConfig{Prefix: set.StatusPrefix, TargetURL: s.eventURL},
	})
	if err != nil {
		return nil, fmt.Errorf("github: %w", err)
	}
	s.parts = append(s.parts, host.Run, func(ctx context.Context) error {
		for _, f := range host.Check(ctx) {
			if !f.OK && ctx.Err() == nil {
				s.log.Warn("github: "+f.Text, "about", f.Subject)
			}
		}
		return nil
	})
	return host, nil
}

// eventURL is the page that tells more about an event.
func (in *installation) eventURL(p ci.Project, e ci.Event) string {
	switch {
	case e.Number > 0 && e.Job != "":
		return in.jobURL(p, e.Number)
	case e.Workflow != "":
		return in.url + web.WorkflowPath(e.Workflow)
	}
	return in.url + web.PipelinePath(e.Pipeline)
}
