package secret

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// foreign reports whether the job gets nothing because its code is a fork's.
func foreign(n ci.Need) bool { return n.Pipeline.Trigger.Fork != "" && !n.Project.ForkSecrets }

// Resolve returns the variables, weakest first, and the SSH keys, the preferred
// one first, that the job may know. If one of the contexts is denied there is
// nothing but [ci.ErrDenied], which says for each denied context why and what
// to do; any other error is a fault and worth another try. It decides anew with
// each call. It is the Secrets of a [ci.Config].
func (s *Safe) Resolve(ctx context.Context, n ci.Need) ([]ci.Var, []ci.SSHKey, error) {
	for range tries {
		g, err := s.admit(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		if foreign(n) {
			return nil, nil, nil
		}
		if err := s.gather(ctx, n, g); err != nil {
			return nil, nil, fmt.Errorf("secrets of %s: %w", n.Project.Slug, err)
		}
		// A restriction may have been added between the decision and the
		// reading, and a value after it that was not to be seen.
		same, err := s.unchanged(ctx, g)
		if err != nil {
			return nil, nil, fmt.Errorf("secrets of %s: %w", n.Project.Slug, err)
		}
		if !same {
			continue
		}
		if err := s.noteRelease(ctx, n, g); err != nil {
			return nil, nil, err
		}
		return g.vars, g.keys, nil
	}
	return nil, nil, fmt.Errorf("secrets of %s: the contexts keep changing, try again: %w", n.Project.Slug, ci.ErrConflict)
}

// Allowed is the decision of [Safe.Resolve] without the secrets: nil or its
// error. It is the Allow of a [ci.Config].
func (s *Safe) Allowed(ctx context.Context, n ci.Need) error {
	_, err := s.admit(ctx, n)
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
func (s *Safe) admit(ctx context.Context, n ci.Need) (*grant, error) {
	decisions, contexts, err := s.decide(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("contexts of a job of %s: %w", n.Project.Slug, err)
	}
	var denied []string
	for _, d := range decisions {
		if !d.Allowed {
			denied = append(denied, fmt.Sprintf("context %.*q: %s", MaxContextName, d.Context, d.Reason))
		}
	}
	if len(denied) > 0 {
		err := fmt.Errorf("%s: %w", some(denied, "; "), ci.ErrDenied)
		if err := s.refused(ctx, request, n.Actor, requestTarget(n, contexts), err); err != nil {
			return nil, err // a fault, so that it is asked again
		}
		return nil, err
	}
	return &grant{contexts: contexts}, nil
}

// The actions of a record about secrets that jobs ask for.
const (
	request         = "workflow.job.context.request"
	contextAccessed = "context.secrets.accessed"
	projectAccessed = "project.secrets.accessed" // ours
)

func requestTarget(n ci.Need, contexts []record) map[string]string {
	var names []string
	for _, c := range contexts {
		names = append(names, c.Name)
	}
	t := asking(n, projectTarget(n.Project))
	t["contexts"] = strings.Join(names, ",")
	return t
}

// asking adds what asks to the target of a record.
func asking(n ci.Need, t map[string]string) map[string]string {
	t["project"], t["pipeline"], t["job"] = n.Project.Slug, string(n.Pipeline.ID), n.Job
	if n.Workflow != "" {
		t["workflow"] = string(n.Workflow)
	}
	return t
}

// gather opens what the job gets.
func (s *Safe) gather(ctx context.Context, n ci.Need, g *grant) error {
	g.vars, g.names = nil, map[string][]string{}
	if err := s.add(ctx, g, kindProjectVariable, string(n.Project.ID)); err != nil {
		return err
	}
	for _, c := range g.contexts {
		if err := s.add(ctx, g, kindVariable, string(c.ID)); err != nil {
			return err
		}
	}
	var err error
	g.keys, err = s.privateKeys(ctx, n.Project.ID)
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
func (s *Safe) noteRelease(ctx context.Context, n ci.Need, g *grant) error {
	note := func(action string, t map[string]string) error {
		return s.record(ctx, ci.Act{Action: action, Actor: n.Actor, Target: t, Success: true})
	}
	if len(g.contexts) > 0 {
		if err := note(request, requestTarget(n, g.contexts)); err != nil {
			return err
		}
	}
	for _, c := range g.contexts {
		t := asking(n, c.target())
		t["variables"] = strings.Join(g.names[string(c.ID)], ",")
		if err := note(contextAccessed, t); err != nil {
			return err
		}
	}
	names := g.names[string(n.Project.ID)]
	if len(names) == 0 && len(g.keys) == 0 {
		return nil
	}
	t := asking(n, projectTarget(n.Project))
	t["variables"] = strings.Join(names, ",")
	var keys []string
	for _, k := range g.keys {
		keys = append(keys, k.Fingerprint)
	}
	t["keys"] = strings.Join(keys, ",")
	return note(projectAccessed, t)
}
