package config

import (
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// Admits says whether the branch filters of a planned schedule let the branch
// pass: Only decides when it is there, and else Ignore. What stands between
// slashes is a regular expression of Java's dialect that has to match the
// whole name. One that cannot be read or takes too long is [ci.ErrInvalid].
func Admits(s ci.Schedule, branch string) (bool, error) {
	list := s.Only
	if len(list) == 0 {
		list = s.Ignore
	}
	found := false
	for _, p := range list {
		expr, ok := slashed(p)
		if !ok {
			found = found || p == branch
			continue
		}
		matches, err := newPattern(expr).whole(branch)
		if err != nil {
			return false, fmt.Errorf("schedule of workflow %s: the regular expression %q: %w", s.Workflow, clip(expr, 80), err)
		}
		found = found || matches
	}
	return found == (len(s.Only) > 0), nil
}

// whole reports whether the expression matches the whole text.
func (p *pattern) whole(s string) (bool, error) {
	switch {
	case p.err != "":
		return false, fmt.Errorf("%s: %w", p.err, ci.ErrInvalid)
	case p.linear != nil:
		return p.linear.MatchString(s), nil
	}
	ok, err := p.back.MatchString(s)
	if err != nil {
		return false, fmt.Errorf("it takes more than %v: %w", matchTime, ci.ErrInvalid)
	}
	return ok, nil
}
