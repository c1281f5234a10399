package orb

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// Namespace returns the namespace that has the name now or had it before.
func (r *Registry) Namespace(ctx context.Context, name string) (ci.Namespace, error) {
	d, err := r.docs.Doc(ctx, kindName, name)
	if err != nil {
		return ci.Namespace{}, fmt.Errorf("namespace %.100q: %w", name, lost(err))
	}
	return r.NamespaceByID(ctx, d.Scope)
}

// NamespaceByID returns the namespace with that ID.
func (r *Registry) NamespaceByID(ctx context.Context, id string) (ci.Namespace, error) {
	n, _, err := r.namespace(ctx, id)
	return n, err
}

// NamespaceOf returns the namespace of an organisation.
func (r *Registry) NamespaceOf(ctx context.Context, org string) (ci.Namespace, error) {
	d, err := r.docs.Doc(ctx, kindOwner, org)
	if err != nil || org == "" {
		return ci.Namespace{}, fmt.Errorf("namespace of %.100q: %w", org, lost(err))
	}
	return r.NamespaceByID(ctx, d.Scope)
}

// lost is err without the words of the store when the thing does not exist.
func lost(err error) error {
	if err == nil || errors.Is(err, ci.ErrNotFound) {
		return ci.ErrNotFound
	}
	return err
}

func (r *Registry) namespace(ctx context.Context, id string) (n ci.Namespace, d ci.Doc, err error) {
	if d, err = r.docs.Doc(ctx, kindNamespace, id); err != nil {
		return n, d, fmt.Errorf("namespace %.100q: %w", id, lost(err))
	}
	return n, d, decode(d, &n)
}

// checkName refuses what cannot be the name of a namespace or an orb.
func checkName(name string) error {
	if !validName(name+"/x") || len(name) > 100 {
		return fmt.Errorf("%.100q is no name here; one has lower-case letters, digits, _ and -, begins with a letter or digit and is at most 100 long: %w", name, ci.ErrInvalid)
	}
	return nil
}

// CreateNamespace gives a name to an organisation; org "" is for what an
// administrator imports. Twice the same is no error. A name that is taken, or a
// second one for the organisation, is [ci.ErrConflict].
func (r *Registry) CreateNamespace(ctx context.Context, name, org string) (ci.Namespace, error) {
	if err := checkName(name); err != nil {
		return ci.Namespace{}, fmt.Errorf("create namespace: %w", err)
	}
	n := ci.Namespace{ID: ci.NewID(), Name: name, Org: org}
	changes := []ci.DocChange{
		{Doc: ci.Doc{Kind: kindNamespace, ID: n.ID, Body: encode(n)}},
		{Doc: ci.Doc{Kind: kindName, ID: name, Scope: n.ID}},
	}
	if org != "" {
		changes = append(changes, ci.DocChange{Doc: ci.Doc{Kind: kindOwner, ID: org, Scope: n.ID}})
	}
	_, err := r.docs.WriteDocs(ctx, changes...)
	if !errors.Is(err, ci.ErrConflict) {
		return n, err
	}
	is, err := r.Namespace(ctx, name)
	switch {
	case err == nil && is.Org == org:
		return is, nil
	case err == nil:
		return ci.Namespace{}, fmt.Errorf("create namespace %s: the name is taken; choose another one: %w", name, ci.ErrConflict)
	case !errors.Is(err, ci.ErrNotFound):
		return ci.Namespace{}, err
	}
	has, err := r.NamespaceOf(ctx, org)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return ci.Namespace{}, err
	}
	return ci.Namespace{}, fmt.Errorf("create namespace %s: %s has the namespace %s already, and an organisation has one: %w", name, org, has.Name, ci.ErrConflict)
}

// RenameNamespace gives it another name. The old one keeps working until it is
// deleted as an alias. A name that another one has is [ci.ErrConflict].
func (r *Registry) RenameNamespace(ctx context.Context, id, name string) (n ci.Namespace, err error) {
	if err := checkName(name); err != nil {
		return n, fmt.Errorf("rename namespace: %w", err)
	}
	err = r.change(ctx, func() ([]ci.DocChange, error) {
		var d ci.Doc
		if n, d, err = r.namespace(ctx, id); err != nil {
			return nil, err
		}
		n.Name = name
		d.Body = encode(n)
		changes := []ci.DocChange{{Doc: d}}
		alias, err := r.docs.Doc(ctx, kindName, name)
		switch {
		case errors.Is(err, ci.ErrNotFound):
			changes = append(changes, ci.DocChange{Doc: ci.Doc{Kind: kindName, ID: name, Scope: id}})
		case err != nil:
			return nil, err
		case alias.Scope != id:
			return nil, fmt.Errorf("rename namespace to %s: the name is taken; choose another one: %w", name, ci.ErrConflict)
		}
		return changes, nil
	})
	return n, err
}

// DeleteAlias frees a name that a namespace had before. The one that it has is
// [ci.ErrConflict].
func (r *Registry) DeleteAlias(ctx context.Context, name string) error {
	return r.change(ctx, func() ([]ci.DocChange, error) {
		alias, err := r.docs.Doc(ctx, kindName, name)
		if err != nil {
			return nil, fmt.Errorf("delete alias %.100q: %w", name, lost(err))
		}
		n, d, err := r.namespace(ctx, alias.Scope)
		if err != nil {
			return nil, err
		}
		if n.Name == name {
			return nil, fmt.Errorf("delete alias %s: the namespace is called so now; rename it first: %w", name, ci.ErrConflict)
		}
		return []ci.DocChange{{Doc: d}, {Doc: alias, Delete: true}}, nil
	})
}

// DeleteNamespace removes the namespace with its names, its orbs and all their
// versions. Configurations that use them stop compiling.
func (r *Registry) DeleteNamespace(ctx context.Context, id string) error {
	return r.change(ctx, func() ([]ci.DocChange, error) {
		n, d, err := r.namespace(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("delete: %w", err)
		}
		changes := []ci.DocChange{{Doc: d, Delete: true}}
		if n.Org != "" {
			owner := ci.Doc{Kind: kindOwner, ID: n.Org, Version: ci.AnyVersion}
			changes = append(changes, ci.DocChange{Doc: owner, Delete: true})
		}
		if changes, err = r.remove(ctx, changes, ci.DocQuery{Kind: kindName, AllScopes: false, Scope: id}); err != nil {
			return nil, err
		}
		for o, err := range r.docs.Docs(ctx, ci.DocQuery{Kind: kindOrb, Scope: id}) {
			if err != nil {
				return nil, err
			}
			changes = append(changes, ci.DocChange{Doc: o, Delete: true})
			if changes, err = r.remove(ctx, changes, ci.DocQuery{Kind: kindVersion, Scope: o.ID}); err != nil {
				return nil, err
			}
		}
		return changes, nil
	})
}

// remove appends the deletion of what the query finds, and of the sources of
// versions.
func (r *Registry) remove(ctx context.Context, to []ci.DocChange, q ci.DocQuery) ([]ci.DocChange, error) {
	for d, err := range r.docs.Docs(ctx, q) {
		if err != nil {
			return nil, err
		}
		to = append(to, ci.DocChange{Doc: d, Delete: true})
		if d.Kind == kindVersion {
			source := ci.Doc{Kind: kindSource, ID: d.ID, Version: ci.AnyVersion}
			to = append(to, ci.DocChange{Doc: source, Delete: true})
		}
	}
	return to, nil
}
