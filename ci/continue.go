package ci

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// A Continuation is the second configuration of a pipeline, given by a job of
// its setup workflow.
type Continuation struct {
	Source     string         `json:"source"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

// ContinuationKey is the variable in which the jobs of a setup workflow find
// the key for [Server.Continue].
const ContinuationKey = "CIRCLE_CONTINUATION_KEY"

// newContinuationKey returns a key that names the pipeline and cannot be
// guessed.
func newContinuationKey(id PipelineID) string { return string(id) + "." + rand.Text() }

// Continue gives a pipeline whose setup workflow runs its real configuration,
// once. The key comes from a job of that workflow. A wrong key is
// [ErrNotFound]; a pipeline that has been continued, or whose setup workflow
// has ended, is [ErrConflict]; a parameter that the trigger has given already
// is [ErrInvalid]. What is wrong with the configuration itself becomes the
// pipeline's Errors.
func (s *Server) Continue(ctx context.Context, key string, c Continuation) error {
	name, _, _ := strings.Cut(key, ".")
	id := PipelineID(name)
	plan, err := s.mayContinue(ctx, id, key, c)
	if err != nil {
		return fmt.Errorf("continue pipeline: %w", err)
	}
	err = s.store.Start(ctx, id, func(p *Pipeline) ([]Workflow, []Event, error) {
		if p.State != PipelineSetup {
			return nil, nil, fmt.Errorf("it is %s and cannot be continued: %w", p.State, ErrConflict)
		}
		next := *plan
		next.Continuation = &c
		p.State, p.Plan, p.Updated = PipelinePending, &next, time.Now().UTC()
		return nil, []Event{{
			Time: p.Updated, Kind: PipelineContinued, Project: p.Trigger.Project, Pipeline: p.ID,
			Name: p.Trigger.ref(), Number: p.Number,
		}}, nil
	})
	if err != nil {
		if doubtful(err) {
			s.enqueue(id)
		}
		return fmt.Errorf("continue pipeline %s: %w", id, err)
	}
	s.enqueue(id)
	return nil
}

// mayContinue checks the key, and that the setup workflow still runs, and
// returns its plan.
func (s *Server) mayContinue(ctx context.Context, id PipelineID, key string, c Continuation) (*Plan, error) {
	p, err := s.store.Pipeline(ctx, id)
	if err != nil {
		return nil, badKey(err)
	}
	plan, err := s.store.Plan(ctx, id)
	if err != nil {
		return nil, badKey(err)
	}
	if plan.before().Key == "" || subtle.ConstantTimeCompare([]byte(plan.before().Key), []byte(key)) != 1 {
		return nil, badKey(ErrNotFound)
	}
	if p.State != PipelineSetup {
		return nil, fmt.Errorf("pipeline %d has been continued already: %w", p.Number, ErrConflict)
	}
	for name := range c.Parameters {
		if _, given := p.Trigger.Parameters[name]; given {
			return nil, fmt.Errorf("conflicting pipeline parameters: %s has been given when the pipeline was triggered: %w", name, ErrInvalid)
		}
	}
	all, err := s.store.Workflows(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, w := range all {
		if w.Setup && !w.Status.Ended() {
			return plan, nil
		}
	}
	return nil, fmt.Errorf("the setup workflow of pipeline %d has ended: %w", p.Number, ErrConflict)
}

// badKey hides from who has no good key whether the pipeline exists.
func badKey(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("the continuation key is not valid: %w", ErrNotFound)
	}
	return err
}

// before returns the plan of the setup workflow.
func (p *Plan) before() *Plan {
	if p.Before != nil {
		return p.Before
	}
	return p
}

// continued returns the pipeline as the compiler is to see it: with the
// parameters of the continuation, and Plan set to the setup's plan.
func (p Pipeline) continued(setup *Plan) Pipeline {
	p.Plan = setup
	if len(setup.Continuation.Parameters) > 0 {
		all := maps.Clone(p.Trigger.Parameters)
		if all == nil {
			all = map[string]any{}
		}
		maps.Copy(all, setup.Continuation.Parameters)
		p.Trigger.Parameters = all
	}
	return p
}
