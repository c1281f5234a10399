package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The kinds of documents about contexts. A context has its organisation as
// scope. It is the lock of all that belongs to it: whoever changes a variable
// or a restriction writes it too. The document of its name, whose ID
// that is, makes names unique beyond organisations and lists them all; that of
// the organisation counts.
const (
	kindContext     = "context"
	kindContextName = "context-name"
	kindContextOrg  = "context-org"
)

// A contextBody is what is kept with a context besides its names.
type contextBody struct {
	Variables    int `json:"variables,omitempty"`    // how many
	Restrictions int `json:"restrictions,omitempty"` // how many
	// Closed says that its last group was removed.
	Closed bool `json:"closed,omitempty"`
}

// A record is a context as it is kept.
type record struct {
	ci.Context
	contextBody
	doc ci.Doc
}

// target is the context for the record of who did what.
func (r record) target() map[string]string {
	return map[string]string{"type": "context", "id": string(r.ID), "name": r.Name, "org": r.Org}
}

// put returns the write of the context after what was done to its body.
func (r record) put() (ci.DocChange, error) {
	var err error
	r.doc.Body, err = json.Marshal(r.contextBody)
	r.doc.Updated = time.Time{}
	return ci.DocChange{Doc: r.doc}, err
}

func readContext(d ci.Doc) (record, error) {
	r := record{Context: ci.Context{ID: ci.ContextID(d.ID), Org: d.Scope, Name: d.Name, Created: d.Created}, doc: d}
	if err := json.Unmarshal(d.Body, &r.contextBody); err != nil {
		return record{}, fmt.Errorf("context %s: %w", d.ID, err)
	}
	return r, nil
}

// context reads a context.
func (s *Safe) context(ctx context.Context, id ci.ContextID) (record, error) {
	d, err := s.docs.Doc(ctx, kindContext, string(id))
	if err != nil {
		return record{}, err
	}
	return readContext(d)
}

// Contexts lists the contexts of an organisation, or with org "" of all, by
// name.
func (s *Safe) Contexts(ctx context.Context, org string) ([]ci.Context, error) {
	return collect(s.List(ctx, org, "", 0))
}

// List yields the contexts of an organisation, or with org "" of all, whose
// names come after a name, by name, at most limit; 0 is all. It costs what it
// yields, and opens nothing.
func (s *Safe) List(ctx context.Context, org, after string, limit int) iter.Seq2[ci.Context, error] {
	q := ci.DocQuery{Kind: kindContext, Scope: org, After: after, Limit: limit}
	if org == "" {
		q.Kind = kindContextName
	}
	return func(yield func(ci.Context, error) bool) {
		for d, err := range s.docs.Docs(ctx, q) {
			c := ci.Context{ID: ci.ContextID(d.ID), Org: org, Name: d.Name, Created: d.Created}
			if err == nil && org == "" {
				err = json.Unmarshal(d.Body, &c)
			}
			if err != nil {
				yield(ci.Context{}, fmt.Errorf("list contexts: %w", err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Context returns a context, or [ci.ErrNotFound].
func (s *Safe) Context(ctx context.Context, id ci.ContextID) (ci.Context, error) {
	r, err := s.context(ctx, id)
	return r.Context, err
}

// CreateContext makes a context. A name that is taken, by whichever
// organisation, is [ci.ErrConflict].
func (s *Safe) CreateContext(ctx context.Context, org, name string, by ci.Actor) (ci.Context, error) {
	c := ci.Context{ID: ci.ContextID(ci.NewID()), Org: org, Name: name}
	kept, err := s.change(ctx, "context.create", by, func() (plan, error) {
		c.Created = time.Now().UTC().Truncate(time.Millisecond)
		p := plan{target: record{Context: c}.target()}
		err := checkContextName(name)
		if org == "" {
			err = fmt.Errorf("a context belongs to an organisation, name one: %w", ci.ErrInvalid)
		}
		if err == nil {
			err = s.cfg.May(ctx, by, org, true)
		}
		if err != nil {
			return p, err
		}
		p.docs, err = s.newContext(ctx, c)
		return p, err
	})
	if err != nil {
		return ci.Context{}, fmt.Errorf("create context: %w", err)
	}
	c.Created = kept[0].Created
	return c, nil
}

// newContext returns the writes of a new context.
func (s *Safe) newContext(ctx context.Context, c ci.Context) ([]ci.DocChange, error) {
	switch _, err := s.docs.Doc(ctx, kindContextName, c.Name); {
	case err == nil:
		// Clients look for these words, with the capital.
		return nil, fmt.Errorf("A context named %s already exists, in this or another organisation; use it or choose another name: %w", c.Name, ci.ErrConflict)
	case !errors.Is(err, ci.ErrNotFound):
		return nil, err
	}
	count, err := s.count(ctx, c.Org, 1)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return []ci.DocChange{
		{Doc: ci.Doc{Kind: kindContext, ID: string(c.ID), Scope: c.Org, Name: c.Name, Body: []byte("{}"), Updated: c.Created}},
		{Doc: ci.Doc{Kind: kindContextName, ID: c.Name, Body: body, Updated: c.Created}},
		count,
	}, nil
}

// count returns the write of the number of contexts in the organisation, which
// is one more or less.
func (s *Safe) count(ctx context.Context, org string, more int) (ci.DocChange, error) {
	var body struct {
		Contexts int `json:"contexts"`
	}
	d, err := s.docs.Doc(ctx, kindContextOrg, org)
	switch {
	case errors.Is(err, ci.ErrNotFound):
		d = ci.Doc{Kind: kindContextOrg, ID: org}
	case err != nil:
		return ci.DocChange{}, err
	default:
		if err := json.Unmarshal(d.Body, &body); err != nil {
			return ci.DocChange{}, fmt.Errorf("count of contexts in %s: %w", org, err)
		}
	}
	if more > 0 && body.Contexts >= MaxContexts {
		return ci.DocChange{}, fmt.Errorf("%s has %d contexts and cannot have more: delete one that nobody uses, or put the variables into one that exists: %w", org, body.Contexts, ci.ErrInvalid)
	}
	body.Contexts = max(body.Contexts+more, 0)
	d.Updated = time.Time{}
	d.Body, err = json.Marshal(body)
	return ci.DocChange{Doc: d}, err
}

// DeleteContext removes a context with its variables and restrictions, at
// once. Jobs that name it are denied from then on.
func (s *Safe) DeleteContext(ctx context.Context, id ci.ContextID, by ci.Actor) error {
	_, err := s.change(ctx, "context.delete", by, func() (plan, error) {
		r, err := s.context(ctx, id)
		if err != nil {
			return plan{}, err
		}
		p := plan{target: r.target()}
		if err := s.mayEdit(ctx, r, by); err != nil {
			return p, err
		}
		count, err := s.count(ctx, r.Org, -1)
		if err != nil {
			return p, err
		}
		p.docs = []ci.DocChange{
			{Doc: r.doc, Delete: true},
			{Doc: ci.Doc{Kind: kindContextName, ID: r.Name, Version: ci.AnyVersion}, Delete: true},
			count,
		}
		for _, kind := range []string{kindVariable, kindRestriction} {
			docs, err := s.all(ctx, kind, string(id))
			if err != nil {
				return p, err
			}
			for _, d := range docs {
				// It may be sealed anew meanwhile, and is to go anyhow.
				d.Version = ci.AnyVersion
				p.docs = append(p.docs, ci.DocChange{Doc: d, Delete: true})
			}
		}
		return p, nil
	})
	if err != nil {
		return fmt.Errorf("delete context %s: %w", id, err)
	}
	return nil
}
