package graphql

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// A published is a version with its orb.
type published struct {
	orb     ci.Orb
	version ci.OrbVersion
}

func (t *types) versionFields() map[string]field {
	return map[string]field{
		"id":        plain(func(p published) any { return p.version.ID }),
		"version":   plain(func(p published) any { return p.version.Version }),
		"createdAt": plain(func(p published) any { return p.version.Created }),
		"orb":       part(t.orb, func(p published) any { return p.orb }),
		"source": {resolve: on(func(ctx context.Context, c *call, p published, _ args) (any, error) {
			r, err := c.orbs()
			if err != nil {
				return nil, err
			}
			source, err := r.OrbSource(ctx, p.version.ID)
			return string(source), err
		})},
	}
}

func (t *types) orbMutations() map[string]field {
	create := []arg{{"name", "String!"}, {"registryNamespaceId", "UUID!"}, {"isPrivate", "Boolean"}}
	list := t.mutation("setOrbListStatus", "orb", t.orb, []arg{{"orbId", "UUID!"}, {"list", "Boolean!"}}, func(ctx context.Context, c *call, a args) (any, error) {
		return c.changeOrb(ctx, a.text("orbId"), func(o *ci.Orb) error { o.Unlisted = !a.flag("list"); return nil })
	}, map[string]field{"listed": plain(func(o outcome) any {
		return of(o, func(orb ci.Orb) any { return !orb.Unlisted })
	})})
	return map[string]field{
		"createOrb":                   t.mutation("createOrb", "orb", t.orb, create, createOrb, nil),
		"importOrb":                   t.mutation("importOrb", "orb", t.orb, create[:2], createOrb, nil),
		"setOrbListStatus":            list,
		"addCategorizationToOrb":      t.categorize("addCategorizationToOrb", true),
		"removeCategorizationFromOrb": t.categorize("removeCategorizationFromOrb", false),
	}
}

func createOrb(ctx context.Context, c *call, a args) (any, error) {
	r, n, err := c.ours(ctx, a.text("registryNamespaceId"))
	if err != nil {
		return nil, err
	}
	return r.CreateOrb(ctx, n.ID, a.text("name"), a.flag("isPrivate"))
}

// changeOrb changes an orb, if the caller may.
func (c *call) changeOrb(ctx context.Context, id string, edit func(*ci.Orb) error) (ci.Orb, error) {
	r, o, err := c.ourOrb(ctx, id, "", func(r Registry) (ci.Orb, error) { return r.OrbByID(ctx, id) })
	if err != nil {
		return o, err
	}
	return r.ChangeOrb(ctx, id, edit)
}

// ourOrb returns an orb that the caller may change. Whoever may not see it gets
// the answer for one that does not exist, word for word.
func (c *call) ourOrb(ctx context.Context, what, advice string, find func(Registry) (ci.Orb, error)) (Registry, ci.Orb, error) {
	r, err := c.orbs()
	if err != nil {
		return nil, ci.Orb{}, err
	}
	o, err := find(r)
	if err == nil {
		err = c.sees(ctx, o)
	}
	if errors.Is(err, ci.ErrNotFound) {
		err = fmt.Errorf("there is no orb %.200s%s: %w", what, advice, ci.ErrNotFound)
	}
	if err == nil {
		err = c.may(ctx, o.Namespace.Org, true)
	}
	return r, o, err
}

func (t *types) versionMutations() map[string]field {
	named := []arg{{"orbName", "String"}, {"namespaceName", "String"}, {"orbId", "UUID"}}
	return map[string]field{
		"publishOrb":       t.mutation("publishOrb", "orb", t.version, append(named, arg{"orbYaml", "String!"}, arg{"version", "String!"}), publishOrb, nil),
		"importOrbVersion": t.mutation("importOrbVersion", "orb", t.version, []arg{{"orbId", "UUID!"}, {"orbYaml", "String!"}, {"version", "String!"}}, publishOrb, nil),
		"promoteOrb":       t.mutation("promoteOrb", "orb", t.version, append(named[:3:3], arg{"devVersion", "String!"}, arg{"semanticVersion", "String!"}), promoteOrb, nil),
	}
}

// target returns the orb that the arguments of a publication name.
func (c *call) target(ctx context.Context, a args) (Registry, ci.Orb, error) {
	if id := a.text("orbId"); id != "" {
		return c.ourOrb(ctx, id, "", func(r Registry) (ci.Orb, error) { return r.OrbByID(ctx, id) })
	}
	name := a.text("namespaceName") + "/" + a.text("orbName")
	advice := "; create it first, with `circleci orb create`"
	return c.ourOrb(ctx, name, advice, func(r Registry) (ci.Orb, error) { return r.OrbNamed(ctx, name) })
}

func publishOrb(ctx context.Context, c *call, a args) (any, error) {
	r, o, err := c.target(ctx, a)
	if err != nil {
		return nil, err
	}
	return c.publish(ctx, r, o, a.text("version"), a.text("orbYaml"))
}

// publish checks a source and publishes it.
func (c *call) publish(ctx context.Context, r Registry, o ci.Orb, number, source string) (any, error) {
	if c.cfg.CompileOrb == nil {
		return nil, fmt.Errorf("this installation cannot check orbs, so it publishes none: %w", ci.ErrInvalid)
	}
	_, err := c.compile(ctx, func(ctx context.Context) (string, error) { return c.cfg.CompileOrb(ctx, source, o.Namespace.Org) })
	if err != nil {
		return nil, err
	}
	v, err := r.PublishOrb(ctx, o.ID, number, []byte(source))
	if err != nil {
		return nil, err
	}
	return published{o, v}, nil
}

// promoteOrb publishes the source of a development version as a release.
func promoteOrb(ctx context.Context, c *call, a args) (any, error) {
	r, o, err := c.target(ctx, a)
	if err != nil {
		return nil, err
	}
	_, dev, err := r.OrbVersion(ctx, o.Name+"@"+a.text("devVersion"))
	if err != nil {
		return nil, err
	}
	source, err := r.OrbSource(ctx, dev.ID)
	if err != nil {
		return nil, err
	}
	return c.publish(ctx, r, o, a.text("semanticVersion"), string(source))
}
