package graphql

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The views of a namespace's orbs.
const (
	viewPrivate = "PRIVATE_ONLY"
	viewAll     = "ALL"
)

func (t *types) orbFields() map[string]field {
	return map[string]field{
		"id":        plain(func(o ci.Orb) any { return o.ID }),
		"name":      plain(func(o ci.Orb) any { return o.Name }),
		"isPrivate": plain(func(o ci.Orb) any { return o.Private }),
		"isListed":  plain(func(o ci.Orb) any { return !o.Unlisted }),
		"createdAt": plain(func(o ci.Orb) any { return o.Created }),
		"namespace": part(t.namespace, func(o ci.Orb) any { return o.Namespace }),
		"categories": part(t.category, func(o ci.Orb) any {
			list := []any{}
			for _, name := range o.Categories {
				list = append(list, category(name))
			}
			return list
		}),
		// Builds are not counted by orb, and null says so: clients print zeros.
		"statistics": {of: &object{"OrbStatistics", map[string]field{
			"last30DaysBuildCount": {resolve: constant(nil)}, "last30DaysProjectCount": {resolve: constant(nil)}, "last30DaysOrganizationCount": {resolve: constant(nil)},
		}}, resolve: constant(nil)},
		"versions": {of: t.version, args: []arg{{"count", "Int"}}, resolve: on(func(ctx context.Context, c *call, o ci.Orb, a args) (any, error) {
			r, err := c.orbs()
			if err != nil {
				return nil, err
			}
			list, err := r.OrbVersions(ctx, o.ID, max(a.number("count"), 0))
			out := make([]any, len(list))
			for i, v := range list {
				out[i] = published{o, v}
			}
			return out, err
		})},
	}
}

func (t *types) orbQueries() map[string]field {
	categories := connectionOf(t.category)
	return map[string]field{
		"registryNamespace": {of: t.namespace, args: []arg{{"name", "String"}}, resolve: func(ctx context.Context, c *call, _ any, a args) (any, error) {
			r, err := c.orbs()
			if err != nil {
				return nil, err
			}
			return absent(r.Namespace(ctx, a.text("name")))
		}},
		"orb": {of: t.orb, args: []arg{{"name", "String!"}}, resolve: func(ctx context.Context, c *call, _ any, a args) (any, error) {
			r, err := c.orbs()
			if err != nil {
				return nil, err
			}
			o, err := r.OrbNamed(ctx, a.text("name"))
			if err == nil {
				err = c.sees(ctx, o)
			}
			return absent(o, err)
		}},
		"orbVersion": {of: t.version, args: []arg{{"orbVersionRef", "String!"}}, resolve: func(ctx context.Context, c *call, _ any, a args) (any, error) {
			r, err := c.orbs()
			if err != nil {
				return nil, err
			}
			ref := a.text("orbVersionRef")
			if !strings.Contains(ref, "@") {
				ref += "@volatile"
			}
			o, v, err := r.OrbVersion(ctx, ref)
			if err == nil {
				err = c.sees(ctx, o)
			}
			return absent(published{o, v}, err)
		}},
		// Everything that an installation keeps is its own or was imported by an
		// administrator, so certifiedOnly leaves nothing out.
		"orbs": {of: connectionOf(t.orb), args: append([]arg{{"certifiedOnly", "Boolean"}}, paged...), resolve: func(ctx context.Context, c *call, _ any, a args) (any, error) {
			list, err := c.listed(ctx, "", "")
			return page(list, a, func(o ci.Orb) string { return o.Name }), err
		}},
		"orbCategories": {of: categories, args: paged, resolve: func(_ context.Context, _ *call, _ any, a args) (any, error) {
			return page(allCategories, a, func(c category) string { return string(c) }), nil
		}},
		"orbCategoryByName": {of: t.category, args: []arg{{"name", "String!"}}, resolve: func(_ context.Context, _ *call, _ any, a args) (any, error) {
			if c := category(a.text("name")); slices.Contains(allCategories, c) {
				return c, nil
			}
			return nil, nil
		}},
	}
}

// sees returns [ci.ErrNotFound] when the orb is another organisation's own.
func (c *call) sees(ctx context.Context, o ci.Orb) error {
	if !o.Private {
		return nil
	}
	err := c.may(ctx, o.Namespace.Org, false)
	if errors.Is(err, ci.ErrDenied) {
		return ci.ErrNotFound
	}
	return err
}

// listed returns the orbs of a namespace, or of all, that the caller sees in
// lists.
func (c *call) listed(ctx context.Context, namespace, view string) ([]ci.Orb, error) {
	r, err := c.orbs()
	if err == nil {
		err = c.spend(effortList)
	}
	if err != nil {
		return nil, err
	}
	var out []ci.Orb
	seen := map[string]bool{} // organisations
	for o, err := range r.Orbs(ctx, namespace) {
		if err != nil {
			return nil, err
		}
		if o.Unlisted || view != viewAll && o.Private != (view == viewPrivate) {
			continue
		}
		if o.Private {
			sees, known := seen[o.Namespace.Org]
			if !known {
				err := c.sees(ctx, o)
				if err != nil && !errors.Is(err, ci.ErrNotFound) {
					return nil, err
				}
				sees = err == nil
				seen[o.Namespace.Org] = sees
			}
			if !sees {
				continue
			}
		}
		out = append(out, o)
	}
	return out, nil
}
