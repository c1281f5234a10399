package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The kinds of variables. Their scope is the context or the project. Each value
// has a document of its own with a new ID, so that what was sealed for an older
// value never opens as a later one.
const (
	kindVariable        = "context-variable"
	kindProjectVariable = "project-variable"
)

// A variableBody is what may be seen of a variable.
type variableBody struct {
	Masked string `json:"masked"`
	// Created is when the variable was made, if this is not its first value.
	Created time.Time `json:"created,omitzero"`
}

func readVariable(d ci.Doc) (ci.Variable, error) {
	var body variableBody
	if err := json.Unmarshal(d.Body, &body); err != nil {
		return ci.Variable{}, fmt.Errorf("variable %s: %w", d.Name, err)
	}
	v := ci.Variable{Name: d.Name, Masked: body.Masked, Created: d.Created, Updated: d.Updated}
	if !body.Created.IsZero() {
		v.Created = body.Created
	}
	return v, nil
}

// checkHolder says whether the variables are a context's.
func checkHolder(of ci.Holder) error {
	if (of.Context == "") == (of.Project == "") {
		return fmt.Errorf("variables belong to a context or to a project, name one of them: %w", ci.ErrInvalid)
	}
	return nil
}

// Variables lists the variables of a context or a project by name, without
// their values.
func (s *Safe) Variables(ctx context.Context, of ci.Holder) ([]ci.Variable, error) {
	docs, err := s.variables(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("list variables: %w", err)
	}
	var out []ci.Variable
	for _, d := range docs {
		v, err := readVariable(d)
		if err != nil {
			return nil, fmt.Errorf("list variables: %w", err)
		}
		out = append(out, v)
	}
	return out, nil
}

// variables returns the documents. A holder that does not exist is
// [ci.ErrNotFound].
func (s *Safe) variables(ctx context.Context, of ci.Holder) ([]ci.Doc, error) {
	if err := checkHolder(of); err != nil {
		return nil, err
	}
	if of.Context != "" {
		if _, err := s.context(ctx, of.Context); err != nil {
			return nil, err
		}
		return s.all(ctx, kindVariable, string(of.Context))
	}
	if _, err := s.cfg.Project(ctx, of.Project); err != nil {
		return nil, err
	}
	return s.all(ctx, kindProjectVariable, string(of.Project))
}

// SetVariable makes or replaces a variable. An empty value is one. The
// variables of a context with groups are changed by their members only.
func (s *Safe) SetVariable(ctx context.Context, of ci.Holder, name, value string, by ci.Actor) (ci.Variable, error) {
	action := "context.env_var.store"
	if of.Context == "" {
		action = "project.env_var.create"
	}
	kept, err := s.change(ctx, action, by, func() (plan, error) {
		if err := errors.Join(checkHolder(of), checkVariable(name, value)); err != nil {
			return plan{}, err
		}
		e, err := s.edit(ctx, of, name, by)
		if err == nil {
			err = s.replace(ctx, e, value)
		}
		return e.plan, err
	})
	if err != nil {
		return ci.Variable{}, fmt.Errorf("set variable: %w", err)
	}
	return readVariable(kept[len(kept)-1])
}

// replace adds the writes of a new value to the edit.
func (s *Safe) replace(ctx context.Context, e *edit, value string) error {
	old := e.variable
	body := variableBody{Masked: masked(value)}
	more := 1
	if old.Version > 0 {
		v, err := readVariable(old)
		if err != nil {
			return err
		}
		body.Created, more = v.Created, 0
		e.docs = append(e.docs, ci.DocChange{Doc: old, Delete: true})
	}
	if err := e.grow(more); err != nil {
		return err
	}
	if e.in == nil && more > 0 {
		if err := s.roomFor(ctx, old); err != nil {
			return err
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	d := ci.Doc{Kind: old.Kind, ID: ci.NewID(), Scope: old.Scope, Name: old.Name, Body: text}
	if err := s.seal(ctx, &d, []byte(value)); err != nil {
		return err
	}
	e.docs = append(e.docs, ci.DocChange{Doc: d})
	return nil
}

// roomFor reports whether a project may have one variable more: each of its jobs
// gets all of them.
func (s *Safe) roomFor(ctx context.Context, d ci.Doc) error {
	n, err := ci.CountDocs(s.docs.Docs(ctx, ci.DocQuery{Kind: d.Kind, Scope: d.Scope, Limit: MaxOfProject}))
	if err == nil && n >= MaxOfProject {
		err = fmt.Errorf("the project has %d variables and cannot have more, delete one that nobody uses: %w", n, ci.ErrInvalid)
	}
	return err
}

// DeleteVariable removes a variable. One that does not exist is
// [ci.ErrNotFound].
func (s *Safe) DeleteVariable(ctx context.Context, of ci.Holder, name string, by ci.Actor) error {
	action := "context.env_var.delete"
	if of.Context == "" {
		action = "project.env_var.delete"
	}
	_, err := s.change(ctx, action, by, func() (plan, error) {
		if err := checkHolder(of); err != nil {
			return plan{}, err
		}
		e, err := s.edit(ctx, of, name, by)
		if err != nil {
			return e.plan, err
		}
		if e.variable.Version == 0 {
			return e.plan, fmt.Errorf("there is no variable %q: %w", name, ci.ErrNotFound)
		}
		if err := e.grow(-1); err != nil {
			return e.plan, err
		}
		e.docs = append(e.docs, ci.DocChange{Doc: e.variable, Delete: true})
		return e.plan, nil
	})
	if err != nil {
		return fmt.Errorf("delete variable: %w", err)
	}
	return nil
}

// An edit is a change of one variable.
type edit struct {
	plan
	variable ci.Doc  // its Version is 0 if there is none yet
	in       *record // nil for a project's
}

// edit reads the holder and the variable and checks what the actor may do.
func (s *Safe) edit(ctx context.Context, of ci.Holder, name string, by ci.Actor) (*edit, error) {
	e := &edit{variable: ci.Doc{Kind: kindProjectVariable, Scope: string(of.Project), Name: name}}
	if of.Context != "" {
		r, err := s.context(ctx, of.Context)
		if err != nil {
			return e, err
		}
		e.in, e.target = &r, r.target()
		e.variable.Kind, e.variable.Scope = kindVariable, string(r.ID)
		if err := s.mayEdit(ctx, r, by); err != nil {
			return e, err
		}
	} else {
		p, err := s.cfg.Project(ctx, of.Project)
		if err != nil {
			return e, err
		}
		e.target = projectTarget(p)
	}
	e.target["variable"] = name
	switch d, err := s.docs.DocNamed(ctx, e.variable.Kind, e.variable.Scope, name); {
	case err == nil:
		e.variable = d
	case !errors.Is(err, ci.ErrNotFound):
		return e, err
	}
	return e, nil
}

// grow counts a variable more or less in the context, and with 0 only says
// that something of it changes.
func (e *edit) grow(more int) error {
	if e.in == nil {
		return nil
	}
	if more > 0 && e.in.Variables >= MaxVariables {
		return fmt.Errorf("context %s has %d variables and cannot have more: delete one that nobody uses, or make another context and name both in the job: %w", e.in.Name, e.in.Variables, ci.ErrInvalid)
	}
	e.in.Variables = max(e.in.Variables+more, 0)
	c, err := e.in.put()
	e.docs = append(e.docs, c)
	return err
}

// projectTarget is a project for the record of who did what.
func projectTarget(p ci.Project) map[string]string {
	return map[string]string{"type": "project", "id": string(p.ID), "name": p.Slug}
}
