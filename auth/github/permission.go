package github

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
)

// maxGrants is of how many users is remembered what they may do.
const maxGrants = 5000

// grants are what GitHub has said last about a user.
type grants struct {
	mu    sync.Mutex // held while GitHub is asked
	asked time.Time
	sheet *sheet
}

// A sheet is what a user may do. It does not change.
type sheet struct {
	repos map[string]auth.Permission // by number, and by slug in lower case
	orgs  map[string]bool            // by slug in lower case: administered
	teams map[string][]string        // by the same
}

type repository struct {
	ID          int64  `json:"id"`
	FullName    string `json:"full_name"`
	Permissions struct {
		Admin    bool `json:"admin"`
		Maintain bool `json:"maintain"`
		Push     bool `json:"push"`
		Triage   bool `json:"triage"`
		Pull     bool `json:"pull"`
	} `json:"permissions"`
}

func (r repository) permission() auth.Permission {
	p := r.Permissions
	switch {
	case p.Admin:
		return auth.Administer
	case p.Push || p.Maintain:
		return auth.Push
	case p.Pull || p.Triage:
		return auth.Pull
	}
	return auth.NoPermission
}

type membership struct {
	State        string       `json:"state"`
	Role         string       `json:"role"`
	Organization organisation `json:"organization"`
}

type team struct {
	Name         string       `json:"name"`
	Slug         string       `json:"slug"`
	Organization organisation `json:"organization"`
}

// Has reports whether a project or an organisation is GitHub's, by its slug.
func (*Login) Has(slug string) bool {
	host, _, _ := strings.Cut(slug, "/")
	return host == "gh" || host == "github"
}

// Permission returns what the user may do in the repository of the project:
// that of its number where the project knows it, since names can be taken
// over.
func (l *Login) Permission(ctx context.Context, subject string, p ci.Project) (auth.Permission, error) {
	g, err := l.ask(ctx, subject)
	if err != nil || g == nil {
		return auth.NoPermission, err
	}
	if p.RepoID != "" {
		return g.repos[p.RepoID], nil
	}
	return g.repos[key(p.Slug)], nil
}

// Orgs returns the organisations of the user, and whether they administer
// them.
func (l *Login) Orgs(ctx context.Context, subject string) (map[string]bool, error) {
	g, err := l.ask(ctx, subject)
	if err != nil || g == nil {
		return nil, err
	}
	return g.orgs, nil
}

// Teams returns the names of the user's teams in an organisation.
func (l *Login) Teams(ctx context.Context, subject, org string) ([]string, error) {
	g, err := l.ask(ctx, subject)
	if err != nil || g == nil {
		return nil, err
	}
	return g.teams[key(org)], nil
}

// key is a slug as it is looked up.
func key(slug string) string {
	if rest, ok := strings.CutPrefix(slug, "github/"); ok {
		slug = "gh/" + rest
	}
	return strings.ToLower(slug)
}

// Refresh forgets what GitHub has said about everybody: it is called when a
// webhook tells of members, teams, organisations or repositories, and when
// somebody asks for it.
func (l *Login) Refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.grants)
	l.epoch++
}

func (l *Login) forget(subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.grants, subject)
	l.epoch++
}

// ask returns what GitHub said in the last minutes, or asks. It is nil for
// somebody whose token is gone.
func (l *Login) ask(ctx context.Context, subject string) (*sheet, error) {
	l.mu.Lock()
	g := l.grants[subject]
	if g == nil {
		g = &grants{}
		for old := range l.grants {
			if len(l.grants) < maxGrants {
				break
			}
			delete(l.grants, old)
		}
		l.grants[subject] = g
	}
	epoch := l.epoch
	l.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.asked.IsZero() && l.cfg.Now().Sub(g.asked) < l.cfg.Fresh {
		return g.sheet, nil
	}
	token, err := l.token(ctx, subject)
	if errors.Is(err, ci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	asked := l.cfg.Now()
	s, err := l.fill(ctx, token)
	if errors.Is(err, errRevoked) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask github what a user may do: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == epoch { // else somebody asked for it to be forgotten meanwhile
		g.asked, g.sheet = asked, s
	}
	return s, nil
}

// fill asks for all that a user may do.
func (l *Login) fill(ctx context.Context, token string) (*sheet, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	repos, orgs, teams := map[string]auth.Permission{}, map[string]bool{}, map[string][]string{}
	err := each(ctx, l, token, "/user/repos", func(r repository) {
		repos[fmt.Sprint(r.ID)] = r.permission()
		repos[key("gh/"+r.FullName)] = r.permission()
	})
	if err == nil {
		err = each(ctx, l, token, "/user/memberships/orgs", func(m membership) {
			if m.State == "active" {
				orgs[key("gh/"+m.Organization.Login)] = m.Role == "admin"
			}
		})
	}
	if err == nil {
		err = each(ctx, l, token, "/user/teams", func(t team) {
			org := key("gh/" + t.Organization.Login)
			teams[org] = append(teams[org], t.Name)
		})
	}
	return &sheet{repos, orgs, teams}, err
}
