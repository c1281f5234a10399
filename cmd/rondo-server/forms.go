package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// kindSettings is the kind of the documents with what was saved on the page of
// settings: a form each, its secrets sealed.
const kindSettings = "installation-settings"

// The forms, by their anchors, which the guide links to.
const (
	formCloudWatch = "cloudwatch_metrics"
	formDataDog    = "datadog_metrics"
	formTLS        = "privacy"
	formMachines   = "vm_service"
	formGitHub     = "github"
)

// A form is one section of the page of settings.
type form interface {
	// section returns its fields, without what is in force.
	section() web.SettingsSection
	// fill puts what is in force into the fields.
	fill(ctx context.Context, x *web.SettingsSection) error
	// save checks the values, keeps them on record of the act, and puts them into
	// force.
	save(ctx context.Context, values map[string]string, act ci.Act) error
	// try tries them and says what came of it.
	try(ctx context.Context, values map[string]string) ([]string, error)
}

// A settingsDesk is the installation's settings as the page asks for them.
type settingsDesk struct {
	in    *installation
	forms []form
}

// webSettings is what the page of settings asks; nil in a server without such.
func (in *installation) webSettings() web.Installation {
	if in.figures == nil {
		return nil
	}
	d := settingsDesk{in, []form{sinkForm{in, formCloudWatch}, sinkForm{in, formDataDog}, tlsForm{in}}}
	if in.garage != nil {
		d.forms = append(d.forms, machineForm{in.garage})
	}
	if h, ok := in.code.(*hosts); ok && h.github != nil {
		d.forms = append(d.forms, githubForm{h.github})
	}
	return d
}

// Sections returns the forms with what is in force. One that cannot be read is
// there without its values, and says why.
func (s settingsDesk) Sections(ctx context.Context, by ci.Actor) ([]web.SettingsSection, error) {
	if err := s.in.allowed(ctx, by, auth.RoleRead); err != nil {
		return nil, err
	}
	var all []web.SettingsSection
	for _, f := range s.forms {
		x := f.section()
		if err := f.fill(ctx, &x); err != nil {
			x.State = "It cannot be read: " + err.Error()
		}
		if why := s.in.mender.why(x.ID); why != "" {
			x.State = "What was saved is not in force, and is tried again: " + why
		}
		all = append(all, x)
	}
	return all, nil
}

// form returns the one of that name.
func (s settingsDesk) form(id string) (form, error) {
	for _, f := range s.forms {
		if f.section().ID == id {
			return f, nil
		}
	}
	return nil, fmt.Errorf("settings of %q: %w", id, ci.ErrNotFound)
}

// Save keeps the values and puts them into force.
func (s settingsDesk) Save(ctx context.Context, id string, values map[string]string, by ci.Actor) error {
	if err := s.in.allowed(ctx, by, auth.RoleWrite); err != nil {
		return err
	}
	f, err := s.form(id)
	if err != nil {
		return err
	}
	return f.save(ctx, values, ci.Act{
		Action: "rondo.settings.update", Actor: by, Target: map[string]string{"type": "installation", "id": hostName(s.in.url), "form": id},
	})
}

// Try says what would come of the values.
func (s settingsDesk) Try(ctx context.Context, id string, values map[string]string, by ci.Actor) ([]string, error) {
	if err := s.in.allowed(ctx, by, auth.RoleWrite); err != nil {
		return nil, err
	}
	f, err := s.form(id)
	if err != nil {
		return nil, err
	}
	return f.try(ctx, values)
}

// errSealed says that the secrets of a form cannot be opened; the rest is
// there.
var errSealed = errors.New("its secrets cannot be opened")

// secretFields are the fields whose values are sealed, of all forms.
var secretFields = []string{"secret_key", "api_key"}

// kept returns what was saved of a form, without its secrets.
func (in *installation) kept(ctx context.Context, form string) (ci.Doc, map[string]string, error) {
	values := map[string]string{}
	d, err := in.db.Doc(ctx, kindSettings, form)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Doc{Kind: kindSettings, ID: form}, values, nil
	}
	if err == nil {
		err = json.Unmarshal(d.Body, &values)
	}
	if err != nil {
		err = fmt.Errorf("settings of %s: %w", form, err)
	}
	return d, values, err
}

// saved returns what was saved of a form, with its secrets. With [errSealed]
// the other values are returned all the same.
func (in *installation) saved(ctx context.Context, form string) (ci.Doc, map[string]string, error) {
	d, values, err := in.kept(ctx, form)
	if err != nil || d.Sealed == "" {
		return d, values, err
	}
	values, err = in.opened(ctx, d)
	return d, values, err
}

// opened returns the values in a document of a form.
func (in *installation) opened(ctx context.Context, d ci.Doc) (map[string]string, error) {
	values, secrets := map[string]string{}, map[string]string{}
	if err := json.Unmarshal(d.Body, &values); err != nil {
		return nil, fmt.Errorf("settings of %s: %w", d.ID, err)
	}
	if d.Sealed == "" {
		return values, nil
	}
	plain, err := in.keeper.OpenDoc(ctx, d)
	if err == nil {
		err = json.Unmarshal(plain, &secrets)
	}
	if err != nil {
		return values, fmt.Errorf("settings of %s: %w: %w", d.ID, errSealed, err)
	}
	maps.Copy(values, secrets)
	return values, nil
}

// fillSaved puts what was saved into a form. It opens no secret: a form has one
// at most, and it is set if anything was sealed.
func (in *installation) fillSaved(ctx context.Context, x *web.SettingsSection) error {
	d, values, err := in.kept(ctx, x.ID)
	if err != nil {
		return err
	}
	for i := range x.Fields {
		f := &x.Fields[i]
		if f.Kind == "secret" {
			f.Set = d.Sealed != ""
			continue
		}
		f.Value = values[f.Name]
		if f.Kind == "choice" && f.Value == "" {
			f.Value = f.Options[0][0]
		}
	}
	return nil
}

// whole returns what was typed, with the secret as it is kept if it was left
// empty.
func (in *installation) whole(ctx context.Context, form string, values map[string]string) (ci.Doc, map[string]string, error) {
	d, _, err := in.kept(ctx, form)
	all := map[string]string{}
	for k, v := range values {
		if all[k] = strings.TrimSpace(v); all[k] != "" || !slices.Contains(secretFields, k) || d.Sealed == "" || err != nil {
			continue
		}
		kept, wrong := in.opened(ctx, d)
		if wrong != nil {
			err = fmt.Errorf("%s is kept and cannot be opened now: type it again, or wait until it can be: %w: %w", k, wrong, ci.ErrInvalid)
		}
		all[k] = kept[k]
	}
	return d, all, err
}

// sealed returns the document with the values of a form.
func (in *installation) sealed(ctx context.Context, d ci.Doc, values map[string]string) (ci.Doc, error) {
	open, secrets := maps.Clone(values), map[string]string{}
	for _, name := range secretFields {
		if open[name] != "" {
			secrets[name] = open[name]
		}
		delete(open, name)
	}
	var err error
	if d.Body, err = json.Marshal(open); err != nil {
		return d, err
	}
	if d.Sealed = ""; len(secrets) == 0 {
		return d, nil
	}
	plain, err := json.Marshal(secrets)
	if err == nil {
		d, err = in.keeper.SealDoc(ctx, d, plain)
	}
	if err != nil {
		err = fmt.Errorf("the secrets cannot be sealed now, and nothing was saved: %w: %w", err, ci.ErrConflict)
	}
	return d, err
}

// byLabel makes an error that names fields as settings do, each line behind a
// prefix, one in the words of the page.
func byLabel(err error, prefix string, fields []web.SettingsField) error {
	var all []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), prefix), ": "+ci.ErrInvalid.Error())
		for _, f := range fields {
			if rest, ok := strings.CutPrefix(line, f.Name); ok && (rest == "" || rest[0] == ' ' || rest[0] == ':') {
				line = f.Label + rest
			}
		}
		all = append(all, line)
	}
	return fmt.Errorf("%s: %w", strings.Join(all, "; "), ci.ErrInvalid)
}
