package graphql

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// orbs returns the registry.
func (c *call) orbs() (Registry, error) {
	if c.registry == nil {
		return nil, fmt.Errorf("this installation keeps no orbs: %w", ci.ErrInvalid)
	}
	return c.registry, nil
}

// absent turns a thing that does not exist into null.
func absent(v any, err error) (any, error) {
	if errors.Is(err, ci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (t *types) namespaceFields() map[string]field {
	return map[string]field{
		"id":   plain(func(n ci.Namespace) any { return n.ID }),
		"name": plain(func(n ci.Namespace) any { return n.Name }),
		"orbs": {of: connectionOf(t.orb), args: append([]arg{{"view", "OrbListViewType"}}, paged...),
			resolve: on(func(ctx context.Context, c *call, n ci.Namespace, a args) (any, error) {
				list, err := c.listed(ctx, n.ID, a.text("view"))
				return page(list, a, func(o ci.Orb) string { return o.Name }), err
			})},
	}
}

func (t *types) namespaceMutations() map[string]field {
	deleted := map[string]field{"deleted": plain(func(o outcome) any { return len(o.problems) == 0 })}
	return map[string]field{
		"createNamespace": t.mutation("createNamespace", "namespace", t.namespace, []arg{{"name", "String!"}, {"organizationId", "UUID!"}}, createNamespace, nil),
		"renameNamespace": t.mutation("renameNamespace", "namespace", t.namespace, []arg{{"namespaceId", "UUID!"}, {"newName", "String!"}}, renameNamespace, nil),
		"importNamespace": t.mutation("importNamespace", "namespace", t.namespace, []arg{{"name", "String!"}}, importNamespace, nil),
		"deleteNamespaceAlias": t.mutation("deleteNamespaceAlias", "namespace", t.namespace, []arg{{"name", "String!"}},
			deleteNamespaceAlias, deleted),
		"deleteNamespaceAndRelatedOrbs": t.mutation("deleteNamespaceAndRelatedOrbs", "namespace", t.namespace, []arg{{"namespaceId", "UUID!"}},
			deleteNamespace, deleted),
	}
}

func createNamespace(ctx context.Context, c *call, a args) (any, error) {
	org, err := c.organisation(ctx, args{"id": a["organizationId"]})
	if err != nil {
		return nil, err
	}
	if err := c.may(ctx, org, true); err != nil {
		return nil, err
	}
	r, err := c.orbs()
	if err != nil {
		return nil, err
	}
	return r.CreateNamespace(ctx, a.text("name"), org)
}

func importNamespace(ctx context.Context, c *call, a args) (any, error) {
	if err := c.may(ctx, "", true); err != nil {
		return nil, err
	}
	r, err := c.orbs()
	if err != nil {
		return nil, err
	}
	return r.CreateNamespace(ctx, a.text("name"), "")
}

// ours returns the namespace with that ID, if the caller may change it.
func (c *call) ours(ctx context.Context, id string) (Registry, ci.Namespace, error) {
	r, err := c.orbs()
	if err != nil {
		return nil, ci.Namespace{}, err
	}
	n, err := r.NamespaceByID(ctx, id)
	if err == nil {
		err = c.may(ctx, n.Org, true)
	}
	return r, n, err
}

func renameNamespace(ctx context.Context, c *call, a args) (any, error) {
	r, n, err := c.ours(ctx, a.text("namespaceId"))
	if err != nil {
		return nil, err
	}
	return r.RenameNamespace(ctx, n.ID, a.text("newName"))
}

func deleteNamespaceAlias(ctx context.Context, c *call, a args) (any, error) {
	r, err := c.orbs()
	if err != nil {
		return nil, err
	}
	n, err := r.Namespace(ctx, a.text("name"))
	if err != nil {
		return nil, err
	}
	if err := c.may(ctx, n.Org, true); err != nil {
		return nil, err
	}
	return nil, r.DeleteAlias(ctx, a.text("name"))
}

func deleteNamespace(ctx context.Context, c *call, a args) (any, error) {
	r, n, err := c.ours(ctx, a.text("namespaceId"))
	if err != nil {
		return nil, err
	}
	return nil, r.DeleteNamespace(ctx, n.ID)
}
