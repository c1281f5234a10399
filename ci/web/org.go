package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// orgsBody is what the list of organisations shows.
type orgsBody struct{ Rows []orgRow }

// An orgRow is an organisation and how many projects of it there are.
type orgRow struct {
	Slug     string
	Projects int
}

// orgs serves the list of organisations.
func (s *site) orgs(w http.ResponseWriter, r *http.Request) error {
	count := map[string]int{}
	for p, err := range s.read.Projects(r.Context()) {
		if err != nil {
			return err
		}
		count[p.OrgSlug()]++
	}
	if s.cfg.Chapters.Orgs != nil {
		own, err := s.cfg.Chapters.Orgs(r.Context(), actorOf(r))
		if err != nil {
			return err
		}
		for _, slug := range own {
			count[slug] += 0
		}
	}
	var b orgsBody
	for slug, n := range count {
		if slug != "" {
			b.Rows = append(b.Rows, orgRow{slug, n})
		}
	}
	slices.SortFunc(b.Rows, func(a, b orgRow) int { return strings.Compare(a.Slug, b.Slug) })
	return s.render(w, r, http.StatusOK, "orgs", view{Title: "Organisations", Body: b})
}

// orgBody is what an organisation's page shows.
type orgBody struct {
	notice
	Slug        string
	Projects    []ci.Project
	HasContexts bool // this installation has contexts
	Contexts    []ci.Context
}

// CLI is the organisation as the official command line names it; "" for a code
// host that it does not know.
func (b orgBody) CLI() string {
	host, name, _ := strings.Cut(b.Slug, "/")
	long := map[string]string{"gh": "github ", "bb": "bitbucket "}[host]
	if long == "" {
		return ""
	}
	return long + name
}

// org serves an organisation: its projects and contexts.
func (s *site) org(w http.ResponseWriter, r *http.Request) error {
	return s.showOrg(w, r, http.StatusOK, noticeOf(r))
}

func (s *site) showOrg(w http.ResponseWriter, r *http.Request, code int, n notice) error {
	ctx, slug := r.Context(), r.PathValue("slug")
	if err := s.mayOrg(ctx, slug, false); err != nil {
		return err
	}
	b := orgBody{notice: n, Slug: slug, HasContexts: s.cfg.Chapters.Contexts != nil}
	for p, err := range s.read.Projects(ctx) {
		if err != nil {
			return err
		}
		if p.OrgSlug() == slug {
			b.Projects = append(b.Projects, p)
		}
	}
	var err error
	if b.HasContexts {
		if b.Contexts, err = s.cfg.Chapters.Contexts.Contexts(ctx, slug); err != nil {
			return err
		}
	}
	if len(b.Projects)+len(b.Contexts) == 0 {
		if err := s.ownOrg(r, slug); err != nil {
			return err
		}
	}
	return s.render(w, r, code, "org", view{Title: show(slug), Body: b, Crumbs: []crumb{{show(slug), ""}}})
}

// ownOrg says whether an organisation of which nothing is known here is one of
// the actor's own.
func (s *site) ownOrg(r *http.Request, slug string) error {
	if s.cfg.Chapters.Orgs != nil {
		own, err := s.cfg.Chapters.Orgs(r.Context(), actorOf(r))
		if err != nil {
			return err
		}
		if slices.Contains(own, slug) {
			return nil
		}
	}
	return fmt.Errorf("organisation %.100q: %w", slug, ci.ErrNotFound)
}

// createContext makes a context that the form names.
func (s *site) createContext(w http.ResponseWriter, r *http.Request) error {
	if err := form(w, r); err != nil {
		return err
	}
	slug := r.PathValue("slug")
	if s.cfg.Chapters.Contexts == nil {
		return absent{"contexts"}
	}
	err := s.mayOrg(r.Context(), slug, true)
	name := strings.TrimSpace(r.PostForm.Get("name"))
	if err == nil && name == "" {
		err = fmt.Errorf("create context: give it a name, as in deploy-production: %w", ci.ErrInvalid)
	}
	var made ci.Context
	if err == nil {
		made, err = s.cfg.Chapters.Contexts.CreateContext(r.Context(), slug, name, actorOf(r))
	}
	if err != nil {
		if n, ok := refused(err, r.PostForm); ok {
			return s.showOrg(w, r, n.Problem.Code, n)
		}
		return err
	}
	done(w, contextPath(made.ID), "context")
	return nil
}
