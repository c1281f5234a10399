package ci_test

import (
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A model is what the workflow graph means, written a second time in the
// plainest way and by names only. The property tests compare the two.
type model struct {
	names []string // each behind those it requires
	jobs  map[string]*modelJob
}

type modelJob struct {
	plan    ci.PlannedJob
	attempt int
	status  ci.Status
	tasks   []modelTask
	kept    bool
}

type modelTask struct {
	status ci.Status
	epoch  int64
}

// met reports whether a job that ended as s lets one with requirement r start.
func met(r ci.Requirement, s ci.Status) bool {
	if r.Statuses == nil {
		return s == "success"
	}
	alias := map[ci.Status]ci.Status{"timedout": "failed", "infrastructure_fail": "failed"}
	if a, ok := alias[s]; ok {
		s = a
	}
	return slices.Contains(r.Statuses, s)
}

var final = map[ci.Status]bool{
	"success": true, "failed": true, "canceled": true, "timedout": true,
	"infrastructure_fail": true, "not_run": true, "unauthorized": true,
}

// badness orders the ends of tasks; the worst is the job's.
var badness = []ci.Status{"success", "canceled", "infrastructure_fail", "timedout", "failed"}

// settle brings a job's status in line with its tasks.
func (j *modelJob) settle() {
	ended, waiting, worst := 0, 0, 0
	for _, t := range j.tasks {
		if final[t.status] {
			ended++
			worst = max(worst, slices.Index(badness, t.status))
		} else if t.status == "queued" {
			waiting++
		}
	}
	switch len(j.tasks) {
	case ended:
		j.status = badness[worst]
	case waiting:
		j.status = "queued"
	default:
		j.status = "running"
	}
}

// report applies a report and says whether it is refused.
func (j *modelJob) report(index int, epoch int64, s ci.Status) (conflict bool) {
	if final[j.status] {
		return s == "queued" // or it would run again
	}
	t := &j.tasks[index]
	takenBack := t.status == "queued" && t.epoch > 0 && t.epoch == epoch
	switch {
	case epoch < t.epoch:
		return true
	case final[t.status]:
		return s == "queued"
	case takenBack && s == "running":
	default:
		t.status, t.epoch = s, epoch
		j.settle()
	}
	return false
}

func (j *modelJob) cancel() {
	if final[j.status] {
		return
	}
	for i := range j.tasks {
		if !final[j.tasks[i].status] {
			j.tasks[i].status = "canceled"
		}
	}
	j.status = "canceled"
}

func (j *modelJob) again() { j.status, j.tasks, j.kept = "blocked", nil, false; j.attempt++ }

// behind returns the names of all jobs that require the named one, directly or
// not.
func (m *model) behind(name string) map[string]bool {
	out := map[string]bool{}
	for _, n := range m.names {
		for _, r := range m.jobs[n].plan.Requires {
			if r.Job == name || out[r.Job] {
				out[n] = true
			}
		}
	}
	return out
}

// chosen returns what a rerun runs again.
func (m *model) chosen(fromFailed, downstream bool, named []string) map[string]bool {
	out := map[string]bool{}
	for _, n := range m.names {
		if fromFailed && m.jobs[n].status != "success" || !fromFailed && len(named) == 0 {
			out[n] = true
		}
	}
	for _, n := range named {
		out[n] = true
		for b := range m.behind(n) {
			if downstream || m.jobs[b].status != "success" {
				out[b] = true
			}
		}
	}
	return out
}

// used reports whether a job that goes on stands behind a chosen one that
// succeeded, and so has used what would be made again.
func (m *model) used(again map[string]bool) bool {
	for n := range again {
		if m.jobs[n].status != "success" {
			continue
		}
		for b := range m.behind(n) {
			if s := m.jobs[b].status; !final[s] && s != "blocked" {
				return true
			}
		}
	}
	return false
}

// retry gives the chosen jobs that have ended a new attempt, and says whether
// there was any.
func (m *model) retry(again map[string]bool) bool {
	some := false
	for n := range again {
		some = some || final[m.jobs[n].status] && m.jobs[n].status != "not_run"
	}
	if !some {
		return false
	}
	for n := range again {
		switch j := m.jobs[n]; {
		case j.status == "not_run":
			j.status = "blocked"
		case final[j.status]:
			j.again()
		}
	}
	return true
}

// follow lets waiting jobs move as the workflow moved them, and returns the
// first that moved against the rules, or stayed where it may not.
func (m *model) follow(w *ci.Workflow) string {
	for _, n := range m.names {
		j, real := m.jobs[n], w.JobNamed(n)
		if real.Attempt != j.attempt {
			return n + ": attempt differs"
		}
		if j.status == "blocked" {
			waits, never := false, false
			for _, r := range j.plan.Requires {
				switch required, known := m.jobs[r.Job]; {
				case !known:
				case !final[required.status]:
					waits = true
				case !met(r, required.status):
					never = true
				}
			}
			start := map[ci.JobType]ci.Status{"": "queued", "approval": "on_hold", "no-op": "success"}[j.plan.Type]
			switch {
			case real.Status == "not_run" && !never,
				real.Status == start && (waits || never),
				real.Status == "blocked" && !waits,
				real.Status != "not_run" && real.Status != start && real.Status != "blocked":
				return n + ": moved to " + string(real.Status)
			}
			j.status = real.Status
			if j.status == "queued" {
				j.tasks = make([]modelTask, max(j.plan.Parallelism, 1))
				for i := range j.tasks {
					j.tasks[i].status = "queued"
				}
			}
		}
		if real.Status != j.status {
			return n + ": is " + string(real.Status) + ", should be " + string(j.status)
		}
	}
	return ""
}

// status returns the status of the whole.
func (m *model) status() ci.Status {
	count := map[ci.Status]int{}
	for _, n := range m.names {
		s := m.jobs[n].status
		if s == "running" {
			s = "queued"
		}
		if s == "timedout" || s == "infrastructure_fail" {
			s = "failed"
		}
		count[s]++
	}
	switch {
	case count["queued"] > 0 && count["failed"] > 0:
		return "failing"
	case count["queued"] > 0:
		return "running"
	}
	for _, s := range []ci.Status{"on_hold", "canceled", "failed", "success"} {
		if count[s] > 0 {
			return s
		}
	}
	return "not_run"
}
