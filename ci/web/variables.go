package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A variablesView is the variables of a project or of a context.
type variablesView struct {
	Path string // where forms are sent
	Rows []ci.Variable
}

func (s *site) fillVariables(ctx context.Context, b *settingsBody, _ url.Values) error {
	var err error
	b.Variables, err = s.variables(ctx, b.Path, ci.Holder{Project: b.Project.ID})
	b.Form.Del("value") // what was typed is a secret, and goes back to nobody
	return err
}

func (s *site) variables(ctx context.Context, path string, of ci.Holder) (variablesView, error) {
	rows, err := s.cfg.Chapters.Variables.Variables(ctx, of)
	return variablesView{Path: path, Rows: rows}, err
}

func (s *site) changeVariables(ctx context.Context, b *settingsBody, form url.Values) (string, string, error) {
	word, err := s.changeVariable(ctx, ci.Holder{Project: b.Project.ID}, form)
	return word, "", err
}

// changeVariable does what a form about variables asks for.
func (s *site) changeVariable(ctx context.Context, of ci.Holder, form url.Values) (string, error) {
	kept, by := s.cfg.Chapters.Variables, actorIn(ctx)
	switch form.Get("do") {
	case "set":
		name := strings.TrimSpace(form.Get("name"))
		if name == "" {
			return "", fmt.Errorf("set variable: give it a name, as in NPM_TOKEN: %w", ci.ErrInvalid)
		}
		_, err := kept.SetVariable(ctx, of, name, form.Get("value"), by)
		return "variable", err
	case "delete-variable":
		return "variable-gone", kept.DeleteVariable(ctx, of, form.Get("name"), by)
	case "import":
		list, err := parseVariables(form.Get("lines"))
		if err != nil {
			return "", err
		}
		var failed []error
		set := 0
		for _, v := range list {
			if _, err := kept.SetVariable(ctx, of, v.Name, v.Value, by); err != nil {
				failed = append(failed, err)
				continue
			}
			set++
		}
		if len(failed) > 0 {
			return "", fmt.Errorf("%d of %d variables are set; the others are not: %w", set, len(list), errors.Join(failed...))
		}
		return "variables", nil
	}
	return "", ci.ErrNotFound
}

// maxImport bounds the variables of one form.
const maxImport = 500

// parseVariables reads lines of NAME=value, as in an .env file: empty lines
// and those that begin with # say nothing, "export " before a name is left
// out, and so is one pair of quotes around a value. A mistake names its line
// and never shows the value.
func parseVariables(text string) ([]ci.Var, error) {
	var list []ci.Var
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "export "))
		if !ok || !isVariableName(name) {
			return nil, fmt.Errorf("import variables: line %d is not NAME=value; nothing was set: %w", n, ci.ErrInvalid)
		}
		value = strings.TrimSpace(value)
		if q := value; len(q) >= 2 && (q[0] == '"' || q[0] == '\'') && q[len(q)-1] == q[0] {
			value = q[1 : len(q)-1]
		}
		list = append(list, ci.Var{Name: name, Value: value})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("import variables: there is no line of the form NAME=value: %w", ci.ErrInvalid)
	}
	if len(list) > maxImport {
		return nil, fmt.Errorf("import variables: %d are more than %d at a time: %w", len(list), maxImport, ci.ErrInvalid)
	}
	return list, nil
}

func isVariableName(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
