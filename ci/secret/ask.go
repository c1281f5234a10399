package secret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// An Ask is what a job asks for.
type Ask struct {
	Project  ci.Project
	Pipeline ci.Pipeline
	// Contexts are the names that the job lists, the weakest first.
	Contexts []string
	// By is who started the workflow; the zero Actor stands for the actor of
	// the pipeline's trigger. A rerun is started by whoever reran it.
	By ci.Actor
	// Approvers are those who approved jobs that this one requires. If there
	// are any, they are judged in place of By, and each must pass.
	Approvers []ci.Actor
	// SSH says that the job was rerun with SSH.
	SSH bool
	// Job is its name, for the record.
	Job string
}

// actors are those who must be in the groups of a context.
func (a Ask) actors() []ci.Actor {
	if len(a.Approvers) > 0 {
		return a.Approvers
	}
	return []ci.Actor{a.by()}
}

// by is who the record shows.
func (a Ask) by() ci.Actor { return cmp.Or(a.By, a.Pipeline.Trigger.Actor) }

// foreign reports whether the job gets nothing because its code is a fork's.
func (a Ask) foreign() bool { return a.Pipeline.Trigger.Fork != "" && !a.Project.ForkSecrets }

// target adds what asks to the target of a record.
func (a Ask) target(t map[string]string) map[string]string {
	t["project"], t["pipeline"] = a.Project.Slug, string(a.Pipeline.ID)
	if a.Job != "" {
		t["job"] = a.Job
	}
	return t
}

// Secrets is [Safe.Resolve] for the actor of the pipeline's trigger, in the
// form of the Secrets of a [ci.Config].
func (s *Safe) Secrets(ctx context.Context, project ci.Project, p ci.Pipeline, contexts []string) ([]ci.Var, []ci.SSHKey, error) {
	return s.Resolve(ctx, Ask{Project: project, Pipeline: p, Contexts: contexts})
}

// Resolve returns the variables, weakest first, and the SSH keys, the preferred
// one first, that the job may know. If one of the contexts is denied there is
// nothing but [ci.ErrDenied], which says why and what to do, one joined error
// for each denied context; any other error is a fault and worth another try.
// It decides anew with each call: call it when the job starts.
func (s *Safe) Resolve(ctx context.Context, a Ask) ([]ci.Var, []ci.SSHKey, error) {
	for range tries {
		g, err := s.admit(ctx, a)
		if err != nil {
			return nil, nil, err
		}
		if a.foreign() {
			return nil, nil, nil
		}
		if err := s.gather(ctx, a, g); err != nil {
			return nil, nil, fmt.Errorf("secrets of %s: %w", a.Project.Slug, err)
		}
		// A restriction may have been added between the decision and the
		// reading, and a value after it that was not to be seen.
		same, err := s.unchanged(ctx, g)
		if err != nil {
			return nil, nil, fmt.Errorf("secrets of %s: %w", a.Project.Slug, err)
		}
		if !same {
			continue
		}
		if err := s.noteRelease(ctx, a, g); err != nil {
			return nil, nil, err
		}
		return g.vars, g.keys, nil
	}
	return nil, nil, fmt.Errorf("secrets of %s: the contexts keep changing, try again: %w", a.Project.Slug, ci.ErrConflict)
}

// Allowed is the decision of [Safe.Resolve] without the secrets: nil or its
// error. Call it when the workflow starts.
func (s *Safe) Allowed(ctx context.Context, a Ask) error {
	_, err := s.admit(ctx, a)
	return err
}

// A grant is what a job gets.
type grant struct {
	contexts []record
	names    map[string][]string // of variables, by ID of their context or project
	vars     []ci.Var
	keys     []ci.SSHKey
}

// admit decides and puts a denial on record.
func (s *Safe) admit(ctx context.Context, a Ask) (*grant, error) {
	decisions, contexts, err := s.decide(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("contexts of a job of %s: %w", a.Project.Slug, err)
	}
	var denied []error
	for _, d := range decisions {
		if !d.Allowed {
			denied = append(denied, fmt.Errorf("context %.*q: %s: %w", MaxContextName, d.Context, d.Reason, ci.ErrDenied))
		}
	}
	if len(denied) > 0 {
		err := errors.Join(denied...)
		noted := s.refused(ctx, request, a.by(), s.requestTarget(a, contexts), err)
		return nil, errors.Join(err, noted)
	}
	return &grant{contexts: contexts}, nil
}

// The actions of a record about secrets that jobs ask for.
const (
	request         = "workflow.job.context.request"
	contextAccessed = "context.secrets.accessed"
	projectAccessed = "project.secrets.accessed" // ours
)

func (s *Safe) requestTarget(a Ask, contexts []record) map[string]string {
	t := projectTarget(a.Project)
	var names []string
	for _, c := range contexts {
		names = append(names, c.Name)
	}
	t["contexts"] = strings.Join(names, ",")
	return a.target(t)
}

// gather opens what the job gets.
func (s *Safe) gather(ctx context.Context, a Ask, g *grant) error {
	g.vars, g.names = nil, map[string][]string{}
	if err := s.add(ctx, g, kindProjectVariable, string(a.Project.ID)); err != nil {
		return err
	}
	for _, c := range g.contexts {
		if err := s.add(ctx, g, kindVariable, string(c.ID)); err != nil {
			return err
		}
	}
	var err error
	g.keys, err = s.privateKeys(ctx, a.Project.ID)
	return err
}

// add opens the variables of a context or project.
func (s *Safe) add(ctx context.Context, g *grant, kind, scope string) error {
	docs, err := s.all(ctx, kind, scope)
	if err != nil {
		return err
	}
	var names []string
	for _, d := range docs {
		value, err := s.open(ctx, d)
		if err != nil {
			return err
		}
		names = append(names, d.Name)
		g.vars = append(g.vars, ci.Var{Name: d.Name, Value: value, Secret: true})
	}
	g.names[scope] = names
	return nil
}

// unchanged reports whether the contexts are as they were when the decision
// was made.
func (s *Safe) unchanged(ctx context.Context, g *grant) (bool, error) {
	for _, c := range g.contexts {
		d, err := s.docs.Doc(ctx, kindContext, string(c.ID))
		if errors.Is(err, ci.ErrNotFound) {
			return false, nil
		}
		if err != nil || d.Version != c.doc.Version {
			return false, err
		}
	}
	return true, nil
}

// noteRelease puts on record what the job is about to get, by name.
func (s *Safe) noteRelease(ctx context.Context, a Ask, g *grant) error {
	note := func(action string, t map[string]string) error {
		if err := s.cfg.Note(ctx, action, a.by(), t); err != nil {
			return unrecorded(action, err)
		}
		return nil
	}
	if len(g.contexts) > 0 {
		if err := note(request, s.requestTarget(a, g.contexts)); err != nil {
			return err
		}
	}
	for _, c := range g.contexts {
		t := a.target(c.target())
		t["variables"] = strings.Join(g.names[string(c.ID)], ",")
		if err := note(contextAccessed, t); err != nil {
			return err
		}
	}
	names := g.names[string(a.Project.ID)]
	if len(names) == 0 && len(g.keys) == 0 {
		return nil
	}
	t := a.target(projectTarget(a.Project))
	t["variables"] = strings.Join(names, ",")
	var keys []string
	for _, k := range g.keys {
		keys = append(keys, k.Fingerprint)
	}
	t["keys"] = strings.Join(keys, ",")
	return note(projectAccessed, t)
}

// values are the pipeline values of expressions.
func (s *Safe) values(a Ask) map[string]any {
	v := maps.Clone(s.cfg.Values(a.Project, a.Pipeline))
	if v == nil {
		v = map[string]any{}
	}
	return v
}
