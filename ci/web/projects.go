package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// projectRows is how many projects a page lists.
const projectRows = 50

// projectsBody is what the list of projects shows.
type projectsBody struct {
	notice
	Search  string
	Rows    []projectRow
	Next    string // address of the next page; "" is the last
	Follows bool
}

// A projectRow is a project in a list, with its newest pipeline.
type projectRow struct {
	ci.Project
	Newest *row // nil when it has none
}

// projects serves the list of projects.
func (s *site) projects(w http.ResponseWriter, r *http.Request) error {
	return s.showProjects(w, r, http.StatusOK, noticeOf(r))
}

func (s *site) showProjects(w http.ResponseWriter, r *http.Request, code int, n notice) error {
	ctx, f := r.Context(), r.URL.Query()
	b := projectsBody{notice: n, Search: strings.TrimSpace(f.Get("q")), Follows: s.cfg.Chapters.Follow != nil}
	for p, err := range s.read.Projects(ctx) {
		if err != nil {
			return err
		}
		if p.Slug <= f.Get("after") || !strings.Contains(strings.ToLower(p.Slug), strings.ToLower(b.Search)) {
			continue
		}
		if len(b.Rows) == projectRows {
			next := url.Values{"after": {b.Rows[projectRows-1].Slug}}
			if b.Search != "" {
				next.Set("q", b.Search)
			}
			b.Next = "/projects?" + next.Encode()
			break
		}
		row, err := s.projectRow(r, p)
		if err != nil {
			return err
		}
		b.Rows = append(b.Rows, row)
	}
	return s.render(w, r, code, "projects", view{Title: "Projects", Body: b})
}

func (s *site) projectRow(r *http.Request, p ci.Project) (projectRow, error) {
	newest, err := s.batch(r.Context(), ci.Query{Project: p.ID, Limit: 1})
	if err != nil || len(newest) == 0 {
		return projectRow{Project: p}, err
	}
	row, _, err := s.row(r.Context(), filter{}, newest[0], map[ci.ProjectID]ci.Project{p.ID: p})
	return projectRow{p, &row}, err
}

// follow begins to build a repository that the form names.
func (s *site) follow(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Chapters.Follow == nil {
		return absent{"code host to follow projects of"}
	}
	if err := form(w, r); err != nil {
		return err
	}
	slug := strings.Trim(strings.TrimSpace(r.PostForm.Get("slug")), "/")
	var p ci.Project
	err := fmt.Errorf("follow: name the repository as host/organisation/name, as in gh/acme/shop: %w", ci.ErrInvalid)
	if strings.Count(slug, "/") >= 2 && len(slug) <= 300 {
		if err = s.mayFollow(r.Context(), slug); err == nil {
			p, err = s.cfg.Chapters.Follow(r.Context(), slug, true, actorOf(r))
		}
	}
	if n, ok := refused(err, r.PostForm); err != nil && ok {
		return s.showProjects(w, r, n.Problem.Code, n)
	}
	if err != nil {
		return err
	}
	done(w, ProjectPath(p), "followed")
	return nil
}

// mayFollow says whether the one who asks may have a repository built: who may
// change the project, or where there is none yet, the repository.
func (s *site) mayFollow(ctx context.Context, slug string) error {
	p, err := s.read.ProjectBySlug(ctx, slug)
	if err == nil {
		_, err = s.mayChange(ctx, p.ID)
		return err
	}
	if !hidden(err) {
		return err
	}
	if err := s.mayOrg(ctx, ci.Project{Slug: slug}.OrgSlug(), false); err != nil || s.cfg.Chapters.May == nil {
		return err
	}
	return s.cfg.Chapters.May(ctx, actorIn(ctx), ci.Project{Slug: slug}, true)
}
