package config

import (
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A plannedSpec is what a compiled body becomes in the plan.
type plannedSpec struct {
	ci.JobSpec
}

// plan makes the plan of the expanded workflows: what runs for this branch or
// tag, and what the clock starts.
func (c *compiler) plan() ci.Plan {
	p := ci.Plan{Setup: c.setup}
	found := false
	for _, w := range c.workflows {
		started := w.name == c.o.Schedule && c.o.Schedule != ""
		found = found || started
		if w.triggers != nil {
			p.Schedules = append(p.Schedules, c.schedules(w)...)
			if !started {
				c.specs(w)
				continue
			}
		} else if c.o.Schedule != "" && !started {
			c.specs(w)
			continue
		}
		out := c.planWorkflow(w)
		if len(out.Jobs) == 0 {
			continue
		}
		p.Workflows = append(p.Workflows, out)
		if c.setup && len(p.Workflows) > 1 { // those that filters keep out do not count
			c.fail(w.key, "CFG057", "a setup configuration may run one workflow, found: %s and %s", clip(p.Workflows[0].Name, 60), clip(w.name, 60)).Hint =
				"put the jobs into one workflow, or give the workflows conditions or filters of which one holds"
		}
	}
	if c.o.Schedule != "" && !found {
		c.fail(nil, "CFG056", "there is no workflow '%s' for the clock to start", c.o.Schedule)
	}
	return p
}

// specs converts the bodies of a workflow that does not run now, for their
// mistakes.
func (c *compiler) specs(w *workflow) {
	for _, k := range w.calls {
		if k.job != nil && jobType(k.typ) == ci.JobBuild {
			c.spec(k)
		}
	}
}

// jobType is the plan's type of a job. Releases and locks belong to a service
// that does not exist here; they pass, so the order of the others holds.
func jobType(typ string) ci.JobType {
	switch typ {
	case "", "build":
		return ci.JobBuild
	case "approval":
		return ci.JobApproval
	}
	return ci.JobNoOp
}

// planWorkflow makes the part of a workflow that runs.
func (c *compiler) planWorkflow(w *workflow) ci.PlannedWorkflow {
	out := ci.PlannedWorkflow{Name: w.name}
	runs := c.runs(w)
	for _, k := range w.calls {
		j := ci.PlannedJob{Name: k.name, Type: jobType(k.typ)}
		if j.Type == ci.JobBuild && k.job != nil {
			s := c.spec(k)
			if w.implied {
				runs[k] = runs[k] && c.branchesAdmit(k.job.body.get("branches"))
			}
			j.JobSpec = s.JobSpec
		}
		if !runs[k] || c.dead {
			continue
		}
		for _, e := range k.edges {
			if runs[e.call] {
				j.Requires = append(j.Requires, ci.Requirement{Job: e.call.name, Statuses: planStatuses(e.statuses)})
			}
		}
		j.Contexts = texts(k.context)
		out.Jobs = append(out.Jobs, j)
	}
	return out
}

// planStatuses are the outcomes of a requirement; none means success.
func planStatuses(v *node) []ci.Status {
	if v == nil {
		return nil
	}
	items := []*node{v}
	if v.kind == listKind {
		items = v.items
	}
	var out []ci.Status
	add := func(all ...ci.Status) {
		for _, s := range all {
			known := false
			for _, o := range out {
				known = known || o == s
			}
			if !known {
				out = append(out, s)
			}
		}
	}
	for _, item := range items {
		if item.str() == "terminal" {
			add(ci.Success, ci.Failed, ci.Canceled, ci.Unauthorized, ci.NotRun)
		} else {
			add(ci.Status(item.str()))
		}
	}
	if len(out) == 1 && out[0] == ci.Success {
		return nil
	}
	return out
}

// schedules are the clock entries of a workflow.
func (c *compiler) schedules(w *workflow) []ci.Schedule {
	what := "triggers of workflow " + w.name
	if w.triggers.kind != listKind {
		c.wrongKind(w.triggers, what, "Sequence")
		return nil
	}
	var out []ci.Schedule
	for _, t := range w.triggers.items {
		s := t.get("schedule")
		if s.isNull() || s.kind != mapKind {
			c.fail(t, "CFG056", "required key [schedule] not found in %s", what)
			continue
		}
		c.checkKeys(t, what, []string{"schedule"}, nil)
		c.checkKeys(s, "schedule", []string{"cron", "filters"}, nil)
		cron := s.get("cron")
		if cron.isNull() || cron.kind != stringKind {
			c.fail(s, "CFG056", "required key [cron] not found in schedule")
			continue
		}
		if err := checkCron(cron.text); err != "" {
			c.fail(cron, "CFG056", "the schedule %q is not valid: %s", clip(cron.text, 60), err).Hint =
				"five fields: minute hour day month weekday, in UTC, like \"0 4 * * 1-5\""
			continue
		}
		filters := s.get("filters")
		branches := filters.get("branches")
		if branches.isNull() {
			c.fail(s, "CFG056", "required key [filters/branches] not found in schedule").Hint = "a schedule names the branches it is for"
			continue
		}
		c.checkFilters(filters)
		out = append(out, ci.Schedule{
			Workflow: w.name, Cron: strings.Join(strings.Fields(cron.text), " "),
			Only: texts(branches.get("only")), Ignore: texts(branches.get("ignore")),
		})
	}
	return out
}
