package orb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// features are what the document of an orb says of it.
type features struct {
	Private    bool     `json:"private,omitempty"`
	Unlisted   bool     `json:"unlisted,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

// CreateOrb makes an orb in a namespace, without versions. The name is without
// the namespace; one that is taken is [ci.ErrConflict]. Only an organisation's
// namespace has private orbs.
func (r *Registry) CreateOrb(ctx context.Context, namespace, name string, private bool) (ci.Orb, error) {
	if err := checkName(name); err != nil {
		return ci.Orb{}, fmt.Errorf("create orb: %w", err)
	}
	d := ci.Doc{Kind: kindOrb, ID: ci.NewID(), Scope: namespace, Name: name, Updated: r.cfg.Now(), Body: encode(features{Private: private})}
	var in ci.Namespace
	err := r.change(ctx, func() ([]ci.DocChange, error) {
		n, nd, err := r.namespace(ctx, namespace)
		if err != nil {
			return nil, fmt.Errorf("create orb %s: %w", name, err)
		}
		if private && n.Org == "" {
			return nil, fmt.Errorf("create orb %s: the namespace %s is nobody's, so its orbs are public: %w", name, n.Name, ci.ErrInvalid)
		}
		_, err = r.docs.DocNamed(ctx, kindOrb, namespace, name)
		switch {
		case err == nil:
			return nil, fmt.Errorf("create orb %s/%s: it exists already: %w", n.Name, name, ci.ErrConflict)
		case !errors.Is(err, ci.ErrNotFound):
			return nil, err
		}
		in = n
		return []ci.DocChange{{Doc: nd}, {Doc: d}}, nil
	})
	if err != nil {
		return ci.Orb{}, err
	}
	d.Created = d.Updated
	return r.orb(ctx, d, in)
}

// OrbByID returns the orb with that ID.
func (r *Registry) OrbByID(ctx context.Context, id string) (ci.Orb, error) {
	d, err := r.docs.Doc(ctx, kindOrb, id)
	if err != nil {
		return ci.Orb{}, fmt.Errorf("orb %.100q: %w", id, lost(err))
	}
	return r.orb(ctx, d)
}

// OrbNamed returns the orb of that name, as in "acme/go".
func (r *Registry) OrbNamed(ctx context.Context, name string) (ci.Orb, error) {
	space, own, _ := strings.Cut(name, "/")
	n, err := r.Namespace(ctx, space)
	if err != nil {
		return ci.Orb{}, fmt.Errorf("orb %.100q: %w", name, err)
	}
	d, err := r.docs.DocNamed(ctx, kindOrb, n.ID, own)
	if err != nil {
		return ci.Orb{}, fmt.Errorf("orb %.100q: %w", name, lost(err))
	}
	return r.orb(ctx, d, n)
}

// orb reads the document of an orb. The namespaces that are known need not be
// read again.
func (r *Registry) orb(ctx context.Context, d ci.Doc, known ...ci.Namespace) (ci.Orb, error) {
	var f features
	if err := decode(d, &f); err != nil {
		return ci.Orb{}, err
	}
	o := ci.Orb{ID: d.ID, Private: f.Private, Unlisted: f.Unlisted, Categories: f.Categories, Created: d.Created}
	if i := slices.IndexFunc(known, func(n ci.Namespace) bool { return n.ID == d.Scope }); i >= 0 {
		o.Namespace = known[i]
	} else {
		n, err := r.NamespaceByID(ctx, d.Scope)
		if err != nil {
			return o, err
		}
		o.Namespace = n
	}
	o.Name = o.Namespace.Name + "/" + d.Name
	return o, nil
}

// Orbs yields the orbs of a namespace, or with "" all of them, by name. Private
// and unlisted ones are among them.
func (r *Registry) Orbs(ctx context.Context, namespace string) iter.Seq2[ci.Orb, error] {
	return func(yield func(ci.Orb, error) bool) {
		var all []ci.Orb
		var known []ci.Namespace
		for d, err := range r.docs.Docs(ctx, ci.DocQuery{Kind: kindOrb, Scope: namespace, AllScopes: namespace == ""}) {
			var o ci.Orb
			if err == nil {
				o, err = r.orb(ctx, d, known...)
			}
			if errors.Is(err, ci.ErrNotFound) {
				continue // its namespace has just gone
			}
			if err != nil {
				yield(ci.Orb{}, fmt.Errorf("list orbs: %w", err))
				return
			}
			if len(known) == 0 || known[len(known)-1].ID != o.Namespace.ID {
				known = append(known, o.Namespace)
			}
			all = append(all, o)
		}
		slices.SortFunc(all, func(a, b ci.Orb) int { return cmp.Compare(a.Name, b.Name) })
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// ChangeOrb changes whether an orb is private or listed, and its categories.
// edit may be called several times. An error of it is returned as it is.
func (r *Registry) ChangeOrb(ctx context.Context, id string, edit func(*ci.Orb) error) (o ci.Orb, err error) {
	err = r.change(ctx, func() ([]ci.DocChange, error) {
		d, err := r.docs.Doc(ctx, kindOrb, id)
		if err != nil {
			return nil, fmt.Errorf("orb %.100q: %w", id, lost(err))
		}
		if o, err = r.orb(ctx, d); err != nil {
			return nil, err
		}
		o.Categories = slices.Clone(o.Categories)
		if err := edit(&o); err != nil {
			return nil, err
		}
		d.Body = encode(features{Private: o.Private, Unlisted: o.Unlisted, Categories: o.Categories})
		return []ci.DocChange{{Doc: d}}, nil
	})
	return o, err
}
