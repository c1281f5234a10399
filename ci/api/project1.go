package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A user1 is a person on the wire of v1.1. What Rondo does not know of people
// is null.
type user1 struct {
	Login  string  `json:"login"`
	Name   string  `json:"name"`
	ID     string  `json:"id"`
	Email  *string `json:"selected_email"`
	Avatar *string `json:"avatar_url"`
	Prefs  string  `json:"basic_email_prefs"`
	Admin  bool    `json:"admin"`
}

// me1 says who calls. Nobody is an administrator by this API, and nobody gets
// mail.
func (c *call) me1() (any, error) {
	return user1{Login: c.by.String(), Name: c.by.String(), ID: actorID(c.by), Prefs: "none"}, nil
}

// A project1 is a [ci.Project] on the wire of v1.1.
type project1 struct {
	VCS      string             `json:"vcs_type"`
	URL      string             `json:"vcs_url"`
	Org      string             `json:"username"`
	Repo     string             `json:"reponame"`
	Followed bool               `json:"followed"`
	Open     bool               `json:"oss"`
	Default  string             `json:"default_branch"`
	Branches map[string]branch1 `json:"branches"` // by escaped name
}

type branch1 struct {
	Pushers []string `json:"pusher_logins"`
	Good    *stub1   `json:"last_success"`
	Bad     *stub1   `json:"last_non_success"`
	Recent  []stub1  `json:"recent_builds"`
	Running []stub1  `json:"running_builds"`
}

// A stub1 is as much of a build as the list of projects has.
type stub1 struct {
	Number   int64   `json:"build_num"`
	Revision string  `json:"vcs_revision"`
	Outcome  *string `json:"outcome"`
	Status   string  `json:"status"`
	Pushed   stamp   `json:"pushed_at"`
	Added    stamp   `json:"added_at"`
}

// How much of a project the list of projects shows: that of the builds of so
// many newest pipelines, so many for each branch.
const (
	branchLook   = 20
	recentBuilds = 5
)

func (c *call) projects1() (any, error) {
	if err := c.known(); err != nil {
		return nil, err
	}
	all, err := c.visible(isFollowed)
	if err != nil {
		return nil, err
	}
	out := make([]project1, 0, len(all))
	for _, p := range all {
		one := project1{
			VCS: longHost(p), URL: webURL(p), Org: p.Org, Repo: p.Repo, Followed: true, Open: p.Open,
			Default: p.DefaultBranch, Branches: map[string]branch1{},
		}
		if c.r.URL.Query().Get("shallow") != "true" {
			if err := c.branches1(p, one.Branches); err != nil {
				return nil, err
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// branches1 fills in what was built lately.
func (c *call) branches1(p ci.Project, into map[string]branch1) error {
	pipelines, err := c.batch(ci.Query{Project: p.ID, Limit: branchLook})
	if err != nil {
		return err
	}
	w := c.walk()
	for _, line := range pipelines {
		of, err := w.builds(c.r.Context(), line, p)
		if err != nil {
			return err
		}
		if line.Trigger.Branch == "" {
			continue
		}
		name := url.QueryEscape(line.Trigger.Branch)
		b, ok := into[name]
		if !ok {
			b = branch1{Pushers: []string{}, Recent: []stub1{}, Running: []stub1{}}
		}
		if by := line.Trigger.Actor.String(); !slices.Contains(b.Pushers, by) {
			b.Pushers = append(b.Pushers, by)
		}
		for _, one := range of {
			b.add(one)
		}
		into[name] = b
	}
	return nil
}

// add puts in one build more, the newest first.
func (b *branch1) add(one built) {
	j := one.job
	if j.Queued.IsZero() {
		return
	}
	s := stub1{
		Number: j.Number, Revision: one.pipeline.Trigger.Revision, Outcome: outcome(j.Status), Status: kin{}.status(j.Status),
		Pushed: stampOf(one.pipeline.Created), Added: stampOf(j.Queued),
	}
	switch {
	case !j.Status.Ended():
		b.Running = append(b.Running, s)
		return
	case j.Status == ci.Success && b.Good == nil:
		b.Good = &s
	case j.Status != ci.Success && b.Bad == nil:
		b.Bad = &s
	}
	if len(b.Recent) < recentBuilds {
		b.Recent = append(b.Recent, s)
	}
}

// A follow1 is the answer to follow and unfollow.
type follow1 struct {
	Followed  bool   `json:"followed"`
	Following bool   `json:"following"`
	First     *build `json:"first_build"`
	Workflow  bool   `json:"workflow"`
	Message   string `json:"message"`
}

func (c *call) followOld() (any, error)   { return c.setFollow(true) }
func (c *call) unfollowOld() (any, error) { return c.setFollow(false) }

func (c *call) setFollow(follow bool) (any, error) {
	slug, err := c.toFollow(follow)
	if err != nil {
		return nil, named(err, "Project")
	}
	p, err := c.follow(slug, follow)
	out := follow1{Followed: p.Followed, Following: p.Followed, Workflow: true}
	if !p.Followed {
		out.Message = "ok"
	}
	return out, err
}

// toFollow returns the slug of the address if the caller may change what it
// names: the project, or the repository that is none yet. A
// project that the caller may not know of is not taken for a new one.
func (c *call) toFollow(follow bool) (string, error) {
	slug := c.r.PathValue("project_slug")
	_, err := c.read.ProjectBySlug(c.r.Context(), slug)
	if !follow || isUUID(slug) || !errors.Is(err, ci.ErrNotFound) {
		p, err := c.project(true)
		return p.Slug, err
	}
	err = c.mayAdd(slug)
	if hidden(err) {
		err = ci.ErrNotFound
	}
	return slug, err
}

// isNotFound reports whether an error is answered with 404.
func isNotFound(err error) bool {
	status, _, _ := answerTo(err)
	return status == http.StatusNotFound
}

// mayAdd says whether the caller may have a repository built that is no project
// yet: a member of the organisation who may change the repository.
func (c *call) mayAdd(slug string) error {
	p := ci.Project{Slug: shorten(slug)}
	if err := c.mayOrg(p.OrgSlug(), false); err != nil {
		return err
	}
	return c.cfg.May(c.r.Context(), c.by, p, true)
}
