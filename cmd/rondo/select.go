package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// choose cuts the plan down to one workflow and to one job with all that it
// requires, or to that job alone. Empty names choose everything.
func choose(plan ci.Plan, workflow, job string, alone bool) (ci.Plan, error) {
	if workflow != "" {
		i := slices.IndexFunc(plan.Workflows, func(w ci.PlannedWorkflow) bool { return w.Name == workflow })
		if i < 0 {
			return plan, fmt.Errorf("no workflow %q runs here; there are: %s", workflow, workflowNames(plan))
		}
		plan.Workflows = plan.Workflows[i : i+1]
	}
	if job == "" {
		return plan, nil
	}
	var with []ci.PlannedWorkflow
	for _, w := range plan.Workflows {
		if slices.ContainsFunc(w.Jobs, func(j ci.PlannedJob) bool { return j.Name == job }) {
			with = append(with, w)
		}
	}
	switch len(with) {
	case 0:
		return plan, fmt.Errorf("no job %q runs here; there are: %s", job, jobNames(plan))
	case 1:
		plan.Workflows = []ci.PlannedWorkflow{cut(with[0], job, alone)}
		return plan, nil
	}
	plan.Workflows = with
	return plan, fmt.Errorf("job %q is in several workflows: choose one with --workflow: %s", job, workflowNames(plan))
}

// cut returns the workflow with only the named job and, unless alone, the jobs
// it requires directly or not.
func cut(w ci.PlannedWorkflow, job string, alone bool) ci.PlannedWorkflow {
	keep := map[string]bool{job: true}
	for grown := !alone; grown; {
		grown = false
		for _, j := range w.Jobs {
			for _, r := range j.Requires {
				if keep[j.Name] && !keep[r.Job] {
					keep[r.Job], grown = true, true
				}
			}
		}
	}
	w.Jobs = slices.DeleteFunc(slices.Clone(w.Jobs), func(j ci.PlannedJob) bool { return !keep[j.Name] })
	return w
}

func workflowNames(p ci.Plan) string {
	var names []string
	for _, w := range p.Workflows {
		names = append(names, w.Name)
	}
	return list(names)
}

func jobNames(p ci.Plan) string {
	var names []string
	for _, w := range p.Workflows {
		for _, j := range w.Jobs {
			if !slices.Contains(names, j.Name) {
				names = append(names, j.Name)
			}
		}
	}
	return list(names)
}

func approvalNames(p ci.Plan) []string {
	var names []string
	for _, w := range p.Workflows {
		for _, j := range w.Jobs {
			if j.Type == ci.JobApproval && !slices.Contains(names, j.Name) {
				names = append(names, j.Name)
			}
		}
	}
	return names
}

func list(names []string) string {
	if len(names) == 0 {
		return "none (filters exclude this branch?)"
	}
	return strings.Join(names, ", ")
}

// hasStep reports whether some job of the plan has a step of that kind.
func hasStep(p ci.Plan, kind ci.StepKind) bool {
	for _, w := range p.Workflows {
		for _, j := range w.Jobs {
			for _, s := range j.Steps {
				if s.Kind == kind {
					return true
				}
			}
		}
	}
	return false
}

// settings parses key=value pairs, as -p and -e take them.
func settings(pairs []string) (map[string]string, error) {
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		key, value, found := strings.Cut(p, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("%q is not of the form key=value", p)
		}
		m[key] = value
	}
	return m, nil
}
