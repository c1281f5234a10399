package secret

import (
	"context"
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// mayRestrict says whether the actor may change restrictions.
func (s *Safe) mayRestrict(ctx context.Context, c record, by ci.Actor) error {
	if err := s.cfg.May(ctx, by, c.Org, true); err != nil || s.cfg.Admin == nil {
		return err
	}
	admin, err := s.admin(ctx, c.Org, by)
	if err == nil && !admin {
		err = fmt.Errorf("only administrators of %s change who may use a context, ask one: %w", c.Org, ci.ErrDenied)
	}
	return err
}

// mayEdit says whether the actor may change the variables of the context, or
// delete it: as those may who may use it, as far as groups go.
func (s *Safe) mayEdit(ctx context.Context, c record, by ci.Actor) error {
	if err := s.cfg.May(ctx, by, c.Org, true); err != nil {
		return err
	}
	list, err := s.restrictions(ctx, c.ID)
	if err != nil {
		return err
	}
	why, err := s.judgeGroups(ctx, c, valuesOf(list, ci.RestrictGroup), by)
	if err == nil && why != "" {
		err = fmt.Errorf("context %s: %s: %w", c.Name, why, ci.ErrDenied)
	}
	return err
}

// judgeGroups returns why the actor does not pass the groups of the context, ""
// if it does.
func (s *Safe) judgeGroups(ctx context.Context, c record, groups []string, a ci.Actor) (string, error) {
	if len(groups) == 0 && !c.Closed {
		return "", nil
	}
	if len(groups) > 0 {
		of, err := s.cfg.Groups(ctx, c.Org, a)
		if err != nil {
			return "", fmt.Errorf("groups of %s: %w", a, asFault(err))
		}
		if slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(of, g) }) {
			return "", nil
		}
	}
	admin, err := s.admin(ctx, c.Org, a)
	switch {
	case err != nil:
		return "", fmt.Errorf("administrators of %s: %w", c.Org, asFault(err))
	case admin:
		return "", nil
	case len(groups) == 0:
		return fmt.Sprintf("it has no group any more, so only administrators of %s may use it, and %s is none: an administrator can open it to the group %q", c.Org, a, AllMembers), nil
	}
	return fmt.Sprintf("%s is not in the group %s that it is restricted to: ask a member or an administrator of %s to run or approve the job", a, some(groups, " or "), c.Org), nil
}
