package web

import (
	"context"
	"fmt"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// An Installation has settings that administrators change on a page: those of
// the guide's management console. Whether the actor may see or change them is
// for it to say, with [ci.ErrDenied].
type Installation interface {
	// Sections returns the forms with what is in force. Secrets are not in them.
	Sections(ctx context.Context, by ci.Actor) ([]SettingsSection, error)
	// Save checks the values of a section, keeps them and puts them into force.
	// A secret that is "" stays as it is. What is wrong is [ci.ErrInvalid] and
	// names the fields.
	Save(ctx context.Context, section string, values map[string]string, by ci.Actor) error
	// Try tries the values without keeping them and returns what came of it, a
	// line each.
	Try(ctx context.Context, section string, values map[string]string, by ci.Actor) ([]string, error)
}

// A SettingsSection is one form. ID is its anchor on the page.
type SettingsSection struct {
	ID, Title, Help string
	Fields          []SettingsField
	// Locked says why it cannot be changed here; "" is that it can.
	Locked string
	// State says how it is doing.
	State string
	// Try is what the button is called that tries the values; "" is none.
	Try string
}

// A SettingsField is one field of a form.
type SettingsField struct {
	Name, Label, Help string
	// Kind is text, area, secret, check or choice.
	Kind    string
	Value   string
	Options [][2]string // of a choice: value and text
	Set     bool        // of a secret: there is one
}

// installationPath is the page of the installation's settings.
const installationPath = "/settings"

// installationBody is what that page shows.
type installationBody struct {
	notice
	Section  string // of the form that led here
	Results  []string
	Sections []SettingsSection
}

// Shown is what a field has: what was typed, if the form was this one.
func (b installationBody) Shown(section string, f SettingsField) string {
	if b.Problem != nil && b.Section == section || b.Results != nil && b.Section == section {
		return b.Typed(f.Name)
	}
	return f.Value
}

func (s *site) installationOf() (Installation, error) {
	if s.cfg.Chapters.Installation == nil {
		return nil, absent{"settings of the installation that can be changed here: they stand in the file of the server"}
	}
	return s.cfg.Chapters.Installation, nil
}

// installation serves the forms.
func (s *site) installation(w http.ResponseWriter, r *http.Request) error {
	return s.showInstallation(w, r, http.StatusOK, installationBody{notice: noticeOf(r)})
}

func (s *site) showInstallation(w http.ResponseWriter, r *http.Request, code int, b installationBody) error {
	in, err := s.installationOf()
	if err == nil {
		b.Sections, err = in.Sections(r.Context(), actorOf(r))
	}
	if err != nil {
		return err
	}
	return s.render(w, r, code, "installation", view{Title: "Settings", Body: b, Crumbs: []crumb{{"Admin", ""}, {"Settings", ""}}})
}

// changeInstallation saves or tries what a form says.
func (s *site) changeInstallation(w http.ResponseWriter, r *http.Request) error {
	in, err := s.installationOf()
	if err != nil {
		return err
	}
	if err := form(w, r); err != nil {
		return err
	}
	section, do := r.PostForm.Get("section"), r.PostForm.Get("do")
	values, secrets, err := s.typedSettings(r, in, section)
	if err != nil {
		return err
	}
	b := installationBody{Section: section}
	if do == "try" {
		b.Results, err = in.Try(r.Context(), section, values, actorOf(r))
	} else {
		err = in.Save(r.Context(), section, values, actorOf(r))
	}
	for _, name := range secrets { // they are on no page
		r.PostForm.Del(name)
	}
	b.Form = r.PostForm
	if err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		b.notice = n
		return s.showInstallation(w, r, n.Problem.Code, b)
	}
	if do == "try" {
		return s.showInstallation(w, r, http.StatusOK, b)
	}
	http.Redirect(w, r, installationPath+"?done=installation#"+section, http.StatusSeeOther)
	return nil
}

// typedSettings returns the values of a section's fields and only those, and
// which of them are secrets.
func (s *site) typedSettings(r *http.Request, in Installation, section string) (map[string]string, []string, error) {
	all, err := in.Sections(r.Context(), actorOf(r))
	if err != nil {
		return nil, nil, err
	}
	for _, x := range all {
		if x.ID != section {
			continue
		}
		if x.Locked != "" {
			return nil, nil, fmt.Errorf("settings of %s: %s: %w", x.Title, x.Locked, ci.ErrConflict)
		}
		values, secrets := map[string]string{}, []string(nil)
		for _, f := range x.Fields {
			values[f.Name] = r.PostForm.Get(f.Name)
			if f.Kind == "secret" {
				secrets = append(secrets, f.Name)
			}
		}
		return values, secrets, nil
	}
	return nil, nil, fmt.Errorf("settings of %q: %w", section, ci.ErrNotFound)
}
