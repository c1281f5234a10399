package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// contextBody is what a context's page shows.
type contextBody struct {
	notice
	Context      ci.Context
	Path         string
	HasVariables bool
	Variables    variablesView
	Restrictions []ci.Restriction
	Projects     []ci.Project // of the organisation, to choose from
	Sample       string       // how a job names the context
}

// Kind returns the restrictions of one kind.
func (b contextBody) Kind(kind ci.RestrictionKind) []ci.Restriction {
	var all []ci.Restriction
	for _, r := range b.Restrictions {
		if r.Kind == kind {
			all = append(all, r)
		}
	}
	return all
}

// context serves a context: its variables, and who may use it.
func (s *site) context(w http.ResponseWriter, r *http.Request) error {
	c, err := s.openContext(r)
	if err != nil {
		return err
	}
	return s.showContext(w, r, http.StatusOK, contextBody{notice: noticeOf(r), Context: c})
}

func (s *site) openContext(r *http.Request) (ci.Context, error) {
	if s.cfg.Chapters.Contexts == nil {
		return ci.Context{}, absent{"contexts"}
	}
	c, err := s.cfg.Chapters.Contexts.Context(r.Context(), ci.ContextID(r.PathValue("context")))
	if err == nil {
		err = s.mayOrg(r.Context(), c.Org, r.Method == http.MethodPost)
	}
	return c, err
}

func (s *site) showContext(w http.ResponseWriter, r *http.Request, code int, b contextBody) error {
	ctx := r.Context()
	var err error
	b.Path = contextPath(b.Context.ID)
	if b.Form.Get("do") != "restrict" { // what was typed is a secret, and goes back to nobody
		b.Form.Del("value")
	}
	if b.HasVariables = s.cfg.Chapters.Variables != nil; b.HasVariables {
		if b.Variables, err = s.variables(ctx, b.Path, ci.Holder{Context: b.Context.ID}); err != nil {
			return err
		}
	}
	if b.Restrictions, err = s.cfg.Chapters.Contexts.Restrictions(ctx, b.Context.ID); err != nil {
		return err
	}
	for p, err := range s.read.Projects(ctx) {
		if err != nil {
			return err
		}
		if p.OrgSlug() == b.Context.Org {
			b.Projects = append(b.Projects, p)
		}
	}
	b.name()
	b.Sample = "workflows:\n  main:\n    jobs:\n      - deploy:\n          context:\n            - " + show(b.Context.Name) + "\n"
	return s.render(w, r, code, "context", view{
		Title: show(b.Context.Name), Body: b,
		Crumbs: []crumb{{show(b.Context.Org), OrgPath(b.Context.Org)}, {show(b.Context.Name), ""}},
	})
}

// name gives the restrictions to projects the names of these.
func (b *contextBody) name() {
	for i := range b.Restrictions {
		r := &b.Restrictions[i]
		if r.Name == "" {
			r.Name = r.Value
		}
		for _, p := range b.Projects {
			if r.Kind == ci.RestrictProject && r.Value == string(p.ID) {
				r.Name = p.Slug
			}
		}
	}
}

// changeContext does what a form on a context's page asks for.
func (s *site) changeContext(w http.ResponseWriter, r *http.Request) error {
	if err := form(w, r); err != nil {
		return err
	}
	c, err := s.openContext(r)
	if err != nil {
		return err
	}
	word, err := s.alterContext(r.Context(), c, r.PostForm)
	if err != nil {
		if n, ok := refused(err, r.PostForm); ok {
			return s.showContext(w, r, n.Problem.Code, contextBody{notice: n, Context: c})
		}
		return err
	}
	path := contextPath(c.ID)
	if word == "context-gone" {
		path = OrgPath(c.Org)
	}
	done(w, path, word)
	return nil
}

func (s *site) alterContext(ctx context.Context, c ci.Context, form url.Values) (string, error) {
	kept, by := s.cfg.Chapters.Contexts, actorIn(ctx)
	switch verb := form.Get("do"); {
	case verb == "delete":
		if form.Get("typed") != c.Name {
			return "", fmt.Errorf("delete context: type its name %q to say that you mean it; nothing was deleted: %w", c.Name, ci.ErrInvalid)
		}
		return "context-gone", kept.DeleteContext(ctx, c.ID, by)
	case verb == "unrestrict":
		return "unrestricted", kept.Unrestrict(ctx, c.ID, form.Get("restriction"), by)
	case verb == "restrict":
		kind, value := ci.RestrictionKind(form.Get("kind")), strings.TrimSpace(form.Get("value"))
		if kind != ci.RestrictProject && kind != ci.RestrictExpression && kind != ci.RestrictGroup || value == "" {
			return "", fmt.Errorf("restrict context: say to what: a project, a group or an expression: %w", ci.ErrInvalid)
		}
		_, err := kept.Restrict(ctx, c.ID, kind, value, by)
		return "restricted", err
	case s.cfg.Chapters.Variables != nil:
		return s.changeVariable(ctx, ci.Holder{Context: c.ID}, form)
	}
	return "", ci.ErrNotFound
}
