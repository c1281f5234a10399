package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/rondo-ci/rondo/ci"
)

// resume is after how long an unfinished follow or unfollow is taken up again.
const resume = time.Minute

// Follow makes the code host tell of pushes to a repository: it makes the
// webhook (or takes over one that leads here already and gives it our secret)
// and a read-only deploy key, and creates the project if it is new. With follow
// false it removes both and leaves the project. Both may be done twice.
//
// A repository that is unknown, or hidden from the token, is [ci.ErrNotFound];
// without admin rights there it is [ci.ErrDenied], as where the organisation
// forbids deploy keys; a name that stood for another repository when the project
// was made is [ci.ErrConflict]. What a crash or a fault leaves half done,
// [Host.Run] completes.
func (h *Host) Follow(ctx context.Context, slug string, follow bool, by ci.Actor) (ci.Project, error) {
	h.following.Lock()
	defer h.following.Unlock()
	verb, do := "follow", h.follow
	if !follow {
		verb, do = "unfollow", h.unfollow
	}
	p, err := do(ctx, slug)
	if err != nil {
		return ci.Project{}, fmt.Errorf("%s %s: %w", verb, slug, err)
	}
	h.log.Info(verb, "project", p.Slug, "actor", by.String())
	return p, nil
}

func (h *Host) follow(ctx context.Context, slug string) (ci.Project, error) {
	if h.cfg.Server == "" {
		return ci.Project{}, fmt.Errorf("the server's own address is not configured: %w", ci.ErrInvalid)
	}
	owner, name, err := split(slug)
	if err != nil {
		return ci.Project{}, err
	}
	repo, _, err := h.api.Repositories.Get(ctx, owner, name)
	if err != nil {
		return ci.Project{}, refusal(err)
	}
	if !repo.GetPermissions().GetAdmin() {
		return ci.Project{}, fmt.Errorf("the user of the token has no admin rights on %s, which webhook and deploy key need: %w", repo.GetFullName(), ci.ErrDenied)
	}
	now, err := h.describe(repo)
	if err != nil {
		return ci.Project{}, err
	}
	l, doc, err := h.link(ctx, now.RepoID)
	if err != nil && !isNotFound(err) {
		return ci.Project{}, err
	}
	fresh := isNotFound(err) || l.State != linkThere
	p, err := h.match(ctx, l.Project, now)
	if err != nil {
		return ci.Project{}, err
	}
	l.Project, l.Owner, l.Name, l.Tries = p.ID, p.Org, p.Repo, 0
	if fresh {
		l.State = linkComing
	}
	// The intent comes first, then the effects.
	if err := h.save(ctx, &l, &doc, time.Now().Add(resume)); err != nil {
		return ci.Project{}, err
	}
	if err := h.records.PutProject(ctx, p); err != nil {
		return ci.Project{}, err
	}
	p, err = h.complete(ctx, &l, &doc)
	if err != nil && fresh && (isDenied(err) || isNotFound(err) || isInvalid(err)) {
		l.State = linkLeaving // it will not work later either: leave nothing behind
		if undo := h.leave(ctx, &l, &doc); undo != nil {
			err = errors.Join(err, fmt.Errorf("undo: %w", undo))
		}
	}
	return p, err
}

// match returns the project that a repository belongs to, as it is to be.
func (h *Host) match(ctx context.Context, id ci.ProjectID, now ci.Project) (ci.Project, error) {
	p, err := h.records.Project(ctx, id)
	if id == "" || isNotFound(err) {
		p, err = h.records.ProjectBySlug(ctx, now.Slug)
		if err == nil && p.RepoID != "" && p.RepoID != now.RepoID {
			return p, fmt.Errorf("project %s was made for another repository that had this name (%s, now it is %s); rename or delete that project first: %w", now.Slug, p.RepoID, now.RepoID, ci.ErrConflict)
		}
	}
	switch {
	case isNotFound(err):
		now.ID = ci.ProjectID(ci.NewID())
		return now, nil
	case err != nil:
		return p, err
	}
	now.ID, now.Followed, now.Settings = p.ID, p.Followed, p.Settings
	return now, nil
}

// complete makes what is missing of deploy key and webhook, and says that the
// project is followed.
func (h *Host) complete(ctx context.Context, l *link, doc *ci.Doc) (ci.Project, error) {
	secrets, err := h.secrets(ctx, l.Project)
	if err == nil && len(secrets) == 0 {
		secrets, err = h.secrets(ctx, "")
	}
	if err != nil {
		return ci.Project{}, fmt.Errorf("webhook secret: %w", err)
	}
	if len(secrets) == 0 {
		return ci.Project{}, fmt.Errorf("no webhook secret of at least %d bytes is configured: %w", MinSecret, ci.ErrInvalid)
	}
	if h.cfg.KeepKey != nil {
		if err := h.completeKey(ctx, l, doc); err != nil {
			return ci.Project{}, fmt.Errorf("deploy key: %w", err)
		}
	}
	if l.Hook, err = h.putHook(ctx, l, secrets[0]); err != nil {
		return ci.Project{}, fmt.Errorf("webhook: %w", err)
	}
	p, err := h.records.Project(ctx, l.Project)
	if err != nil {
		return ci.Project{}, err
	}
	p.Followed = true
	if err := h.records.PutProject(ctx, p); err != nil {
		return ci.Project{}, err
	}
	if l.State != linkThere {
		l.State, l.Swept = linkThere, time.Now().UTC()
	}
	if err := h.save(ctx, l, doc, time.Now()); err != nil { // due: its references are written down
		return ci.Project{}, err
	}
	poke(h.stale)
	return p, nil
}

// putHook makes the webhook, or takes over one that leads here, and returns its
// ID.
func (h *Host) putHook(ctx context.Context, l *link, secret string) (int64, error) {
	address, format, verify, active := h.cfg.Server+HookPath, "json", "0", true
	hook := &gh.Hook{
		Active: &active, Events: wantedEvents(),
		Config: &gh.HookConfig{URL: &address, ContentType: &format, InsecureSSL: &verify, Secret: &secret},
	}
	var found int64
	err := pages(func(page gh.ListOptions) (*gh.Response, error) {
		hooks, resp, err := h.api.Repositories.ListHooks(ctx, l.Owner, l.Name, &page)
		for _, k := range hooks {
			if k.GetConfig().GetURL() == address && (found == 0 || k.GetID() == l.Hook) {
				found = k.GetID()
			}
		}
		return resp, err
	})
	if err != nil {
		return 0, err
	}
	if found != 0 {
		_, _, err = h.api.Repositories.EditHook(ctx, l.Owner, l.Name, found, hook)
		return found, refusal(err)
	}
	made, _, err := h.api.Repositories.CreateHook(ctx, l.Owner, l.Name, hook)
	if err != nil {
		return 0, refusal(err)
	}
	if made.GetID() == 0 {
		return 0, fmt.Errorf("the code host's answer names no webhook")
	}
	return made.GetID(), nil
}

func (h *Host) unfollow(ctx context.Context, slug string) (ci.Project, error) {
	p, err := h.records.ProjectBySlug(ctx, slug)
	if err != nil {
		return ci.Project{}, err
	}
	l, doc, err := h.link(ctx, p.RepoID)
	missing := isNotFound(err)
	if err != nil && !missing {
		return ci.Project{}, err
	}
	if !missing {
		l.State, l.Tries = linkLeaving, 0
		if err := h.save(ctx, &l, &doc, time.Now().Add(resume)); err != nil {
			return ci.Project{}, err
		}
	}
	p.Followed = false
	if err := h.records.PutProject(ctx, p); err != nil {
		return ci.Project{}, err
	}
	if !missing {
		err = h.leave(ctx, &l, &doc)
		if err != nil {
			return ci.Project{}, fmt.Errorf("nothing is built any more, but the webhook or the deploy key is still there; it will be tried again: %w", err)
		}
	}
	return p, nil
}

// leave removes webhook and deploy key, and then the link itself.
func (h *Host) leave(ctx context.Context, l *link, doc *ci.Doc) error {
	if err := h.save(ctx, l, doc, time.Now().Add(resume)); err != nil {
		return err
	}
	gone := func(resp *gh.Response, err error) error {
		if resp != nil && resp.StatusCode == http.StatusNotFound {
			return nil
		}
		return refusal(err)
	}
	if l.Hook == 0 { // made, perhaps, but not written down
		err := pages(func(page gh.ListOptions) (*gh.Response, error) {
			hooks, resp, err := h.api.Repositories.ListHooks(ctx, l.Owner, l.Name, &page)
			for _, k := range hooks {
				if k.GetConfig().GetURL() == h.cfg.Server+HookPath {
					l.Hook = k.GetID()
				}
			}
			return resp, err
		})
		if ignoreMissing(err) != nil {
			return err
		}
	}
	if l.Hook != 0 {
		if err := gone(h.api.Repositories.DeleteHook(ctx, l.Owner, l.Name, l.Hook)); err != nil {
			return err
		}
	}
	if l.Public != "" {
		if err := h.removeKey(ctx, l.Owner, l.Name, l.Public); err != nil {
			return err
		}
	}
	if l.Public != "" && h.cfg.KeepKey != nil {
		host, err := h.keyHost(ctx, l.Project)
		if err == nil {
			err = h.cfg.KeepKey(ctx, l.Project, ci.SSHKey{Host: host})
		}
		if err != nil {
			return err
		}
	}
	if err := h.forgetBase(ctx, doc.ID); err != nil {
		return err
	}
	_, err := h.records.WriteDocs(ctx, ci.DocChange{Doc: *doc, Delete: true})
	return err
}

// refresh asks the code host what the repository is called now.
func (h *Host) refresh(ctx context.Context, l *link, id string) error {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return err
	}
	repo, _, err := h.api.Repositories.GetByID(ctx, number)
	if err != nil {
		return refusal(err)
	}
	now, err := h.describe(repo)
	if err != nil {
		return err
	}
	if now.RepoID != id {
		return fmt.Errorf("the code host answers with repository %s: %w", now.RepoID, ci.ErrInvalid)
	}
	p, err := h.match(ctx, l.Project, now)
	if err != nil {
		return err
	}
	if err := h.records.PutProject(ctx, p); err != nil {
		return err
	}
	if l.Owner != p.Org || l.Name != p.Repo {
		h.log.Info("repository renamed", "project", p.Slug, "was", l.Owner+"/"+l.Name)
	}
	l.Owner, l.Name, l.Stale = p.Org, p.Repo, false
	return nil
}
