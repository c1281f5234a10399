package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rondo-ci/rondo/ci"
)

// A section is a page of a project's settings.
type section struct {
	Name, Title string
	// fill reads what the section shows.
	fill func(ctx context.Context, b *settingsBody, address url.Values) error
	// change does what a form asks for and returns the word of the result and
	// the query of the page that shows it.
	change func(ctx context.Context, b *settingsBody, form url.Values) (word, query string, err error)
}

// sections returns those that this installation has.
func (s *site) sections() []section {
	c := s.cfg.Chapters
	var all []section
	add := func(offered bool, one section) {
		if offered {
			all = append(all, one)
		}
	}
	add(c.PutProject != nil, section{"advanced", "General", s.fillAdvanced, s.changeAdvanced})
	add(c.Variables != nil, section{"variables", "Environment variables", s.fillVariables, s.changeVariables})
	add(c.Keys != nil, section{"keys", "SSH keys", s.fillKeys, s.changeKeys})
	add(c.Schedules != nil, section{"schedules", "Schedules", s.fillSchedules, s.changeSchedules})
	add(c.Webhooks != nil, section{"webhooks", "Webhooks", s.fillWebhooks, s.changeWebhooks})
	add(c.Tokens != nil, section{"tokens", "API tokens", s.fillTokens, s.changeTokens})
	add(c.Badge != nil, section{"badges", "Status badge", s.fillBadges, nil})
	return all
}

// absentSections say what is missing where a section is not offered.
var absentSections = map[string]string{
	"advanced": "project settings", "variables": "variables of projects", "keys": "SSH keys of projects",
	"schedules": "schedules of projects", "webhooks": "webhooks", "tokens": "tokens of projects", "badges": "status badges",
}

// settingsBody is what a page of a project's settings shows.
type settingsBody struct {
	notice
	Project  ci.Project
	Sections []link
	Section  string
	Title    string
	Path     string // of this page
	CanStop  bool   // the project can be unfollowed

	Variables variablesView
	Keys      []ci.Key
	Schedules schedulesView
	Webhooks  webhooksView
	Badges    badgesView
	Tokens    []ci.ProjectToken
	Made      string // a token that was made just now
	Scopes    any
	Switches  []settingSwitch
	Seen      string // the settings that the form was made of
}

// settings serves a page of a project's settings.
func (s *site) settings(w http.ResponseWriter, r *http.Request) error {
	b, at, err := s.openSettings(r)
	if err != nil {
		return err
	}
	b.notice = noticeOf(r)
	return s.showSettings(w, r, http.StatusOK, b, at)
}

// openSettings finds the project and the section of an address.
func (s *site) openSettings(r *http.Request) (*settingsBody, section, error) {
	p, err := s.read.ProjectBySlug(r.Context(), r.PathValue("slug"))
	if err == nil {
		p, err = s.mayChange(r.Context(), p.ID)
	}
	if err != nil {
		return nil, section{}, err
	}
	name := r.PathValue("section")
	b := &settingsBody{Project: p, Section: name, Path: settingsPath(name, p)}
	var at section
	for _, one := range s.sections() {
		b.Sections = append(b.Sections, link{one.Title, settingsPath(one.Name, p), one.Name == name})
		if one.Name == name {
			at = one
		}
	}
	if at.fill == nil {
		if what, ok := absentSections[name]; ok {
			return nil, at, absent{what}
		}
		return nil, at, ci.ErrNotFound
	}
	b.Title = at.Title
	return b, at, nil
}

func (s *site) showSettings(w http.ResponseWriter, r *http.Request, code int, b *settingsBody, at section) error {
	if err := at.fill(r.Context(), b, r.URL.Query()); err != nil {
		return err
	}
	return s.render(w, r, code, "settings", view{
		Title: at.Title + " · " + show(b.Project.Slug), Body: b,
		Crumbs: s.crumbs(b.Project, crumb{at.Title, ""}), Tabs: s.projectTabs(b.Project, "settings"),
	})
}

// changeSettings does what a form on such a page asks for. What is wrong with
// the form is said on the page itself, with what was typed.
func (s *site) changeSettings(w http.ResponseWriter, r *http.Request) error {
	if err := form(w, r); err != nil {
		return err
	}
	b, at, err := s.openSettings(r)
	if err != nil {
		return err
	}
	if at.change == nil {
		return errMethod
	}
	word, query, err := at.change(r.Context(), b, r.PostForm)
	if err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		b.notice = n
		return s.showSettings(w, r, n.Problem.Code, b, at)
	}
	if word == "" { // what comes of it is on the answer itself
		if b.Made == "" {
			b.notice = notice{Form: r.PostForm}
		}
		return s.showSettings(w, r, http.StatusOK, b, at)
	}
	if query != "" {
		query = "?" + query
	}
	done(w, b.Path+query, word)
	return nil
}

// A confirm is a button that asks before it acts. It needs no script.
type confirm struct {
	Label, Ask, Button string
	Path               string
	Fields             [][2]string
	Typed              string // must be typed in first; "" is nothing
}

// newConfirm makes one; fields are the names and values that are sent. A value
// with characters that must not act does not arrive as it was: no rule of a
// chapter allows such names.
func newConfirm(path, label, button, ask, typed string, fields ...any) confirm {
	c := confirm{Label: label, Ask: ask, Button: button, Path: path, Typed: typed}
	for i := 0; i+1 < len(fields); i += 2 {
		c.Fields = append(c.Fields, [2]string{text(fields[i]), clean(text(fields[i+1]), 1000, false)})
	}
	return c
}
