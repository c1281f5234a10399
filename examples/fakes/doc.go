// Package fakes shows how a platform team tests its own code against Rondo
// without a server, a database or a process: the in-memory drivers are the
// fakes, and they pass the same suites as the real ones.
package fakes

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// Starter is what the team's own code needs of Rondo.
type Starter interface {
	Trigger(ctx context.Context, t ci.Trigger) (ci.Pipeline, error)
}

// Release is the team's own code: it starts a pipeline for a tag, once.
func Release(ctx context.Context, s Starter, project ci.ProjectID, tag, revision string) (int64, error) {
	p, err := s.Trigger(ctx, ci.Trigger{
		Project: project, Tag: tag, Revision: revision, Key: "release@" + tag, Source: ci.SourceAPI,
		Parameters: map[string]any{"publish": true},
	})
	if err != nil {
		return 0, fmt.Errorf("release %s: %w", tag, err)
	}
	return p.Number, nil
}
