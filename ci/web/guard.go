package web

import (
	"context"
	"errors"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// A guarded reader gives a project only to whom Chapters.May lets read it. Who
// asks is in the context of the request. All pages reach what belongs to a
// project through the project, so there is one place that refuses.
type guarded struct {
	ci.Reader
	may func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error
}

func (g guarded) Project(ctx context.Context, id ci.ProjectID) (ci.Project, error) {
	return g.check(ctx)(g.Reader.Project(ctx, id))
}

func (g guarded) ProjectBySlug(ctx context.Context, slug string) (ci.Project, error) {
	return g.check(ctx)(g.Reader.ProjectBySlug(ctx, slug))
}

func (g guarded) check(ctx context.Context) func(ci.Project, error) (ci.Project, error) {
	return func(p ci.Project, err error) (ci.Project, error) {
		if err == nil {
			err = g.may(ctx, actorIn(ctx), p, false)
		}
		if err != nil {
			return ci.Project{}, err
		}
		return p, nil
	}
}

// Projects leaves out those that the actor may not read.
func (g guarded) Projects(ctx context.Context) iter.Seq2[ci.Project, error] {
	return func(yield func(ci.Project, error) bool) {
		for p, err := range g.Reader.Projects(ctx) {
			if err == nil {
				if err = g.may(ctx, actorIn(ctx), p, false); hidden(err) {
					continue
				}
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// hidden reports whether an error leaves a thing out of a list.
func hidden(err error) bool { return errors.Is(err, ci.ErrNotFound) || errors.Is(err, ci.ErrDenied) }

// mayChange returns the project if the one who asks may change things in it.
func (s *site) mayChange(ctx context.Context, id ci.ProjectID) (ci.Project, error) {
	p, err := s.read.Project(ctx, id)
	if err == nil && s.cfg.Chapters.May != nil {
		err = s.cfg.Chapters.May(ctx, actorIn(ctx), p, true)
	}
	return p, err
}

// mayOrg says whether the one who asks may read what belongs to an
// organisation, or change it.
func (s *site) mayOrg(ctx context.Context, org string, write bool) error {
	if s.cfg.Chapters.MayOrg == nil {
		return nil
	}
	return s.cfg.Chapters.MayOrg(ctx, actorIn(ctx), org, write)
}
