package secret

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret/expr"
)

// kindRestriction is a restriction. Its scope is the context, its name stands
// for kind and value.
const kindRestriction = "context-restriction"

func readRestriction(d ci.Doc) (ci.Restriction, error) {
	var r ci.Restriction
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return r, fmt.Errorf("restriction %s: %w", d.ID, err)
	}
	r.ID, r.Context = d.ID, ci.ContextID(d.Scope)
	return r, nil
}

// Restrictions lists the restrictions of a context by kind and value. A group
// that a context has by default is not among them.
func (s *Safe) Restrictions(ctx context.Context, id ci.ContextID) ([]ci.Restriction, error) {
	_, err := s.context(ctx, id)
	var list []ci.Restriction
	if err == nil {
		list, err = s.restrictions(ctx, id)
	}
	if err != nil {
		return nil, fmt.Errorf("list restrictions: %w", err)
	}
	return list, nil
}

func (s *Safe) restrictions(ctx context.Context, id ci.ContextID) ([]ci.Restriction, error) {
	docs, err := s.all(ctx, kindRestriction, string(id))
	if err != nil {
		return nil, err
	}
	var list []ci.Restriction
	for _, d := range docs {
		r, err := readRestriction(d)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b ci.Restriction) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	return list, nil
}

// valuesOf returns the values of those of a kind.
func valuesOf(list []ci.Restriction, kind ci.RestrictionKind) []string {
	var out []string
	for _, r := range list {
		if r.Kind == kind {
			out = append(out, r.Value)
		}
	}
	return out
}

// Restrict adds a restriction; only an administrator may. The same twice is
// [ci.ErrConflict]; an expression with a mistake, or a project of another
// organisation, is [ci.ErrInvalid].
func (s *Safe) Restrict(ctx context.Context, id ci.ContextID, kind ci.RestrictionKind, value string, by ci.Actor) (ci.Restriction, error) {
	kept, err := s.change(ctx, "context.restriction.create", by, func() (plan, error) {
		c, err := s.context(ctx, id)
		if err != nil {
			return plan{}, err
		}
		p := plan{target: c.target()}
		if err := s.mayRestrict(ctx, c, by); err != nil {
			return p, err
		}
		r := ci.Restriction{ID: ci.NewID(), Context: id, Kind: kind, Value: value}
		if r.Name, err = s.checkRestriction(ctx, c, kind, value); err != nil {
			return p, err
		}
		p.target["restriction"] = string(kind)
		if p.target["value"] = value; kind == ci.RestrictProject {
			p.target["value"] = cmp.Or(r.Name, value)
		}
		d := ci.Doc{Kind: kindRestriction, ID: r.ID, Scope: string(id), Name: restrictionName(kind, value)}
		switch _, err := s.docs.DocNamed(ctx, d.Kind, d.Scope, d.Name); {
		case err == nil:
			return p, fmt.Errorf("context %s has this restriction: %w", c.Name, ci.ErrConflict)
		case !errors.Is(err, ci.ErrNotFound):
			return p, err
		}
		if c.Restrictions >= MaxRestrictions {
			return p, fmt.Errorf("context %s has %d restrictions and cannot have more: delete one, or use a group or an expression for many: %w", c.Name, c.Restrictions, ci.ErrInvalid)
		}
		c.Restrictions++
		c.Closed = c.Closed && kind != ci.RestrictGroup
		if d.Body, err = json.Marshal(r); err != nil {
			return p, err
		}
		lock, err := c.put()
		p.docs = []ci.DocChange{{Doc: d}, lock}
		return p, err
	})
	if err != nil {
		return ci.Restriction{}, fmt.Errorf("restrict context: %w", err)
	}
	return readRestriction(kept[0])
}

// restrictionName makes restrictions unique, also those that are longer than a
// name should be.
func restrictionName(kind ci.RestrictionKind, value string) string {
	sum := sha256.Sum256([]byte(value))
	return string(kind) + " " + hex.EncodeToString(sum[:])
}

// checkRestriction reports what is wrong with a restriction and returns what
// people call it.
func (s *Safe) checkRestriction(ctx context.Context, c record, kind ci.RestrictionKind, value string) (string, error) {
	switch kind {
	case ci.RestrictExpression:
		if _, err := expr.Parse(value); err != nil {
			return "", fmt.Errorf("the expression has a mistake: %w", err)
		}
		return "", nil
	case ci.RestrictGroup:
		if err := checkContextName(value); err != nil {
			return "", fmt.Errorf("the group needs a name of 1 to %d characters, without blanks around it: %w", MaxContextName, ci.ErrInvalid)
		}
		return value, nil
	case ci.RestrictProject:
		p, err := s.cfg.Project(ctx, ci.ProjectID(value))
		if value == "" || errors.Is(err, ci.ErrNotFound) || err == nil && p.Slug != "" && p.OrgSlug() != c.Org {
			return "", fmt.Errorf("%s has no project with the ID %.40q: %w", c.Org, value, ci.ErrInvalid)
		}
		return p.Slug, err
	}
	return "", fmt.Errorf("there is no kind of restriction %.40q, only %s, %s and %s: %w", string(kind), ci.RestrictProject, ci.RestrictGroup, ci.RestrictExpression, ci.ErrInvalid)
}

// Unrestrict removes a restriction; only an administrator may. The removal of
// the last group leaves the context to administrators.
func (s *Safe) Unrestrict(ctx context.Context, id ci.ContextID, restriction string, by ci.Actor) error {
	_, err := s.change(ctx, "context.restriction.delete", by, func() (plan, error) {
		c, err := s.context(ctx, id)
		if err != nil {
			return plan{}, err
		}
		p := plan{target: c.target()}
		if err := s.mayRestrict(ctx, c, by); err != nil {
			return p, err
		}
		d, err := s.docs.Doc(ctx, kindRestriction, restriction)
		if err == nil && d.Scope != string(id) {
			err = fmt.Errorf("%s: %w", restriction, ci.ErrNotFound)
		}
		if err != nil {
			return p, err
		}
		r, err := readRestriction(d)
		if err != nil {
			return p, err
		}
		p.target["restriction"], p.target["value"] = string(r.Kind), cmp.Or(r.Name, r.Value)
		list, err := s.restrictions(ctx, id)
		if err != nil {
			return p, err
		}
		c.Restrictions = max(c.Restrictions-1, 0)
		if r.Kind == ci.RestrictGroup {
			c.Closed = len(valuesOf(list, ci.RestrictGroup)) == 1
		}
		lock, err := c.put()
		p.docs = []ci.DocChange{{Doc: d, Delete: true}, lock}
		return p, err
	})
	if err != nil {
		return fmt.Errorf("remove restriction: %w", err)
	}
	return nil
}
