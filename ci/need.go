package ci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Need is a job's question for its secrets.
type Need struct {
	Project  Project
	Pipeline Pipeline
	Workflow WorkflowID // "" before it is made
	Job      string     // name
	Contexts []string   // names, later ones win
	// Actor is who answers for the job: who approved it, and if nobody had to,
	// who started the workflow.
	Actor Actor
}

// answerable returns who answers for the named job: of the approvals before
// it, whose was the last.
func (w *Workflow) answerable(name string) Actor {
	by := w.By
	var last *Job
	for _, n := range w.Upstream(name) {
		j := w.JobNamed(n)
		if j.Type == JobApproval && j.Status == Success && (last == nil || j.Stopped.After(last.Stopped)) {
			last, by = j, j.Approved
		}
	}
	return by
}

// refuseJobs marks the jobs of the plan that ask for contexts they may not
// use. Behind an approval it is the approver who counts, so those are asked
// when they start.
func (s *Server) refuseJobs(ctx context.Context, project Project, p Pipeline, plan *Plan) error {
	if s.cfg.Allow == nil {
		return nil
	}
	plan.Workflows = slices.Clone(plan.Workflows) // the compiler may share them
	for i := range plan.Workflows {
		w := &plan.Workflows[i]
		w.Jobs = slices.Clone(w.Jobs)
		graph, approvals := make(requirements), map[string]bool{}
		for _, j := range w.Jobs {
			graph[j.Name] = j.Requires
			approvals[j.Name] = j.Type == JobApproval
		}
		for k := range w.Jobs {
			j := &w.Jobs[k]
			behind := slices.ContainsFunc(graph.upstream(j.Name), func(n string) bool { return approvals[n] })
			if len(j.Contexts) == 0 || behind {
				continue
			}
			err := s.cfg.Allow(ctx, Need{Project: project, Pipeline: p, Job: j.Name, Contexts: j.Contexts, Actor: p.Trigger.Actor})
			switch {
			case errors.Is(err, ErrDenied):
				j.Refused = reasonOf(err)
			case err != nil:
				return fmt.Errorf("contexts of job %s: %w", j.Name, err)
			}
		}
	}
	return nil
}

// reasonOf returns the text of a denial for people.
func reasonOf(err error) string {
	if text := strings.TrimSuffix(err.Error(), ": "+ErrDenied.Error()); text != "" {
		return text
	}
	return "not allowed"
}

// of returns the plan that the workflow was made from.
func (p *Plan) of(w *Workflow) *Plan {
	if w.Setup {
		return p.before()
	}
	return p
}
