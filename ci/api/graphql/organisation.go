package graphql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// An organisation is known by its slug.
type organisation string

// hosts are the names of code hosts in GraphQL, by those in slugs. The short
// ones are understood too, since the command line passes on what people write.
var hosts = map[string]string{"gh": "GITHUB", "bb": "BITBUCKET", "circleci": "CIRCLECI", "local": "LOCAL"}

func (o organisation) split() (host, name string) {
	host, name, _ = strings.Cut(string(o), "/")
	return hosts[host], name
}

// is reports whether the organisation has the name, and the host unless that
// is "".
func (o organisation) is(host, name string) bool {
	short, own, _ := strings.Cut(string(o), "/")
	return own == name && (host == "" || host == hosts[short] || strings.EqualFold(host, short))
}

func (t *types) organisationQueries() map[string]field {
	org := &object{"Organization", map[string]field{
		"id":      plain(func(o organisation) any { return ci.OrgID(string(o)) }),
		"name":    plain(func(o organisation) any { _, name := o.split(); return name }),
		"vcsType": plain(func(o organisation) any { host, _ := o.split(); return host }),
		"contexts": {of: connectionOf(t.context), args: paged, resolve: on(func(ctx context.Context, c *call, o organisation, a args) (any, error) {
			list, err := c.contexts(ctx, string(o))
			return page(list, args{"first": maxPage}, func(x ci.Context) string { return x.Name }), err
		})},
	}}
	return map[string]field{
		"organization": {of: org, args: []arg{{"id", "ID"}, {"name", "String"}, {"vcsType", "VCSType"}},
			resolve: func(ctx context.Context, c *call, _ any, a args) (any, error) {
				slug, err := c.organisation(ctx, a)
				return organisation(slug), err
			}},
	}
}

// organisation returns the slug of the one that the arguments name, by its ID
// or by host and name. It has to be one of the caller's.
func (c *call) organisation(ctx context.Context, a args) (string, error) {
	mine, err := c.cfg.Orgs(ctx, c.by)
	if err != nil {
		return "", err
	}
	var what string
	i := -1
	switch id := strings.ToLower(a.text("id")); {
	case id != "":
		what = id
		i = slices.IndexFunc(mine, func(slug string) bool { return slug == id || ci.OrgID(slug) == id })
	case a.text("name") != "":
		what = strings.ToLower(a.text("vcsType")) + "/" + a.text("name")
		i = slices.IndexFunc(mine, func(slug string) bool { return organisation(slug).is(a.text("vcsType"), a.text("name")) })
	default:
		return "", fmt.Errorf("organization: give its id, or its name and vcsType: %w", ci.ErrInvalid)
	}
	if i < 0 {
		return "", fmt.Errorf("organization %.100s: there is none, or you do not belong to it; `circleci info org` lists yours: %w", what, ci.ErrNotFound)
	}
	return mine[i], nil
}

// may says whether the caller may see what is the organisation's own, or
// change it. What is no organisation's is for administrators.
func (c *call) may(ctx context.Context, org string, write bool) error {
	if org == "" {
		if c.cfg.Admin == nil {
			return fmt.Errorf("only an administrator of this installation may do that: %w", ci.ErrDenied)
		}
		return c.cfg.Admin(ctx, c.by)
	}
	if c.cfg.MayOrg != nil {
		err := c.cfg.MayOrg(ctx, c.by, org, write)
		if errors.Is(err, ci.ErrDenied) || errors.Is(err, ci.ErrNotFound) {
			return fmt.Errorf("you may not do that for the organization %s: %w", org, ci.ErrDenied)
		}
		return err
	}
	mine, err := c.cfg.Orgs(ctx, c.by)
	if err == nil && !slices.Contains(mine, org) {
		err = fmt.Errorf("you do not belong to the organization %s: %w", org, ci.ErrDenied)
	}
	return err
}
