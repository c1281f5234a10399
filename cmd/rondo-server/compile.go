package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
)

// code is where the code of projects is: the code host.
type code interface {
	// File returns a file at a commit. One that is not there is
	// ci.ErrNotFound.
	File(ctx context.Context, p ci.Project, revision, path string) ([]byte, error)
	// Complete returns what is known of the commit that a trigger is for, as a
	// trigger: its Revision, or else the newest commit of its Branch, or its
	// Tag. With none of them it is the default branch.
	Complete(ctx context.Context, p ci.Project, t ci.Trigger) (ci.Trigger, error)
	// Follow makes the code host tell of what is new in a repository, by its
	// slug, or stops that.
	Follow(ctx context.Context, slug string, follow bool, by ci.Actor) (ci.Project, error)
	// Key makes the code host accept a checkout key of the project, or refuse
	// it from then on.
	Key(ctx context.Context, p ci.Project, k ci.Key, accept bool) error
}

// A compiler fetches configurations and compiles them.
type compiler struct {
	code     code
	orbs     string        // folder of orbs; "" for none
	registry *orb.Registry // the orbs that were published here
	cache    config.Cache
}

// orbsFor returns the orbs that the organisation may use: those of the folder
// before those that were published. It is a new list each time, since orbs may
// be added while the server runs.
func (c *compiler) orbsFor(org string) config.Orbs {
	var all orb.Chain
	if c.orbs != "" {
		all = append(all, orb.Folder(c.orbs))
	}
	return append(all, c.registry.For(org))
}

// compile compiles the configuration of the pipeline's commit, or what a setup
// workflow has continued it with.
func (c *compiler) compile(ctx context.Context, project ci.Project, p ci.Pipeline) (ci.Plan, error) {
	options := config.Options{
		Parameters: p.Trigger.Parameters, Text: p.Trigger.Text, Values: engine.Values(project, p),
		Orbs: c.orbsFor(project.OrgSlug()), Cache: &c.cache,
	}
	if p.Trigger.Scheduled == "" { // else it is the name of one that people made
		options.Schedule = p.Trigger.Schedule
	}
	if p.Plan != nil && p.Plan.Continuation != nil {
		options.File, options.Continued = "the continuation", true
		return config.Compile(ctx, []byte(p.Plan.Continuation.Source), options)
	}
	source, err := c.code.File(ctx, project, p.Trigger.Revision, engine.ConfigFile)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Plan{}, fmt.Errorf("no configuration: commit %.12s has no %s: %w", p.Trigger.Revision, engine.ConfigFile, err)
	}
	if err != nil {
		return ci.Plan{}, err
	}
	return config.Compile(ctx, source, options)
}

// checkParameters refuses parameters that the configuration does not take, so
// that who sent them learns it at once. Other mistakes are the pipeline's.
func (c *compiler) checkParameters(ctx context.Context, project ci.Project, t ci.Trigger) error {
	if len(t.Parameters) == 0 {
		return nil
	}
	with := ci.Pipeline{ID: ci.PipelineID(ci.NewID()), Number: 1, Trigger: t}
	_, err := c.compile(ctx, project, with)
	if !errors.Is(err, ci.ErrInvalid) {
		return nil
	}
	without := with
	without.Trigger.Parameters = nil
	if _, e := c.compile(ctx, project, without); e != nil {
		return nil
	}
	return fmt.Errorf("parameters: %w", err)
}
