package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Diff describes how plan b differs from plan a, in lines: workflows and jobs
// that are new (+) or gone (-), and below each changed job (~) the properties
// and steps that differ. Equal plans give "". Source text, warnings and the
// order of jobs do not count.
func Diff(a, b ci.Plan) string {
	var d differ
	d.workflows(a, b)
	d.schedules(a, b)
	if a.Setup != b.Setup {
		d.line(0, "~ setup: %v -> %v", a.Setup, b.Setup)
	}
	return d.b.String()
}

// A differ collects the lines.
type differ struct{ b strings.Builder }

func (d *differ) line(depth int, format string, args ...any) {
	d.b.WriteString(strings.Repeat("  ", depth))
	d.b.WriteString(clean(fmt.Sprintf(format, args...)))
	d.b.WriteByte('\n')
}

func (d *differ) workflows(a, b ci.Plan) {
	for _, w := range a.Workflows {
		i := slices.IndexFunc(b.Workflows, func(o ci.PlannedWorkflow) bool { return o.Name == w.Name })
		if i < 0 {
			d.line(0, "- workflow %s (%d jobs)", w.Name, len(w.Jobs))
			continue
		}
		var inner differ
		inner.jobs(w, b.Workflows[i])
		if inner.b.Len() > 0 {
			d.line(0, "~ workflow %s", w.Name)
			d.b.WriteString(inner.b.String())
		}
	}
	for _, w := range b.Workflows {
		if !slices.ContainsFunc(a.Workflows, func(o ci.PlannedWorkflow) bool { return o.Name == w.Name }) {
			d.line(0, "+ workflow %s (%d jobs)", w.Name, len(w.Jobs))
		}
	}
}

func (d *differ) jobs(a, b ci.PlannedWorkflow) {
	other := make(map[string]ci.PlannedJob, len(b.Jobs))
	for _, j := range b.Jobs {
		other[j.Name] = j
	}
	known := make(map[string]bool, len(a.Jobs))
	for _, j := range a.Jobs {
		known[j.Name] = true
		o, ok := other[j.Name]
		if !ok {
			d.line(1, "- job %s", j.Name)
			continue
		}
		var inner differ
		inner.job(j, o)
		if inner.b.Len() > 0 {
			d.line(1, "~ job %s", j.Name)
			d.b.WriteString(inner.b.String())
		}
	}
	for _, j := range b.Jobs {
		if !known[j.Name] {
			d.line(1, "+ job %s", j.Name)
		}
	}
}

// job compares two jobs, property by property in the names of the JSON form.
func (d *differ) job(a, b ci.PlannedJob) {
	steps := [2][]ci.StepSpec{a.Steps, b.Steps}
	a.Steps, b.Steps = nil, nil
	d.properties(2, a, b)
	d.steps(steps[0], steps[1])
}

// properties compares the top-level properties of two values.
func (d *differ) properties(depth int, a, b any) {
	x, y := object(a), object(b)
	names := append(keys(x), keys(y)...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before, after := string(x[name]), string(y[name])
		switch {
		case before == after:
		case before == "":
			d.line(depth, "+ %s: %s", name, clip(after, 200))
		case after == "":
			d.line(depth, "- %s: %s", name, clip(before, 200))
		default:
			d.line(depth, "~ %s: %s -> %s", name, clip(before, 200), clip(after, 200))
		}
	}
}

// object is the JSON form of a value, by property.
func object(v any) map[string]json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return nil // the nouns of ci are made of plain data
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil {
		return nil
	}
	return m
}

// maxAligned is up to how many steps a job's steps are aligned; the work grows
// with the square.
const maxAligned = 600

// steps compares two lists of steps, aligned on the longest part in common.
func (d *differ) steps(a, b []ci.StepSpec) {
	x, y := stepTexts(a), stepTexts(b)
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y, a, b = x[1:], y[1:], a[1:], b[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y, a, b = x[:len(x)-1], y[:len(y)-1], a[:len(a)-1], b[:len(b)-1]
	}
	if len(x) > maxAligned || len(y) > maxAligned {
		d.line(2, "~ %d steps are now %d others", len(x), len(y))
		return
	}
	s, t := titles(a), titles(b)
	alike := func(i, j int) int {
		switch {
		case x[i] == y[j]:
			return 3
		case s[i] == t[j]:
			return 2
		}
		return 0
	}
	common := make([][]int, len(x)+1) // likeness of the rests
	for i := range common {
		common[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if likeness := alike(i, j); likeness > 0 {
				common[i][j] = max(common[i][j], common[i+1][j+1]+likeness)
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && alike(i, j) > 0 && common[i][j] == common[i+1][j+1]+alike(i, j):
			if x[i] != y[j] {
				d.line(2, "~ step %s", stepTitle(a[i]))
				d.properties(3, a[i], b[j])
			}
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			d.line(2, "- step %s", stepTitle(a[i]))
			i++
		default:
			d.line(2, "+ step %s", stepTitle(b[j]))
			j++
		}
	}
}

func stepTexts(steps []ci.StepSpec) []string {
	out := make([]string, len(steps))
	for i, s := range steps {
		text, err := json.Marshal(s)
		if err != nil {
			text = nil
		}
		out[i] = string(text)
	}
	return out
}

func titles(steps []ci.StepSpec) []string {
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = stepTitle(s)
	}
	return out
}

// stepTitle names a step for people: its name, or the first line of its
// command.
func stepTitle(s ci.StepSpec) string {
	title := s.Name
	if title == "" {
		title, _, _ = strings.Cut(strings.TrimSpace(s.Command), "\n")
	}
	if title == "" {
		return string(s.Kind)
	}
	return fmt.Sprintf("%s %q", s.Kind, clip(title, 60))
}

// schedules compares what the clock starts.
func (d *differ) schedules(a, b ci.Plan) {
	texts := func(p ci.Plan) []string {
		var out []string
		for _, s := range p.Schedules {
			out = append(out, fmt.Sprintf("%s at %q only %q ignore %q", s.Workflow, s.Cron, s.Only, s.Ignore))
		}
		return out
	}
	x, y := texts(a), texts(b)
	for _, s := range x {
		if !slices.Contains(y, s) {
			d.line(0, "- schedule %s", s)
		}
	}
	for _, s := range y {
		if !slices.Contains(x, s) {
			d.line(0, "+ schedule %s", s)
		}
	}
}
