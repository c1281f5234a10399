package config

import (
	"slices"
	"strings"
)

// A workflow is one workflow of the configuration that is kept.
type workflow struct {
	name     string
	key      *node
	body     *node
	calls    []*call
	triggers *node
	implied  bool            // a 2.0 text without workflows: branches of the job count
	empty    map[string]bool // aliases of matrices without cells
}

// A call is one job of a workflow: an entry of its list, or one cell of an
// entry with a matrix.
type call struct {
	w       *workflow
	invoked string // as written: build, orb/job
	base    string // the name before suffixes
	name    string // final
	// alias is the name by which others require all cells of the matrix; ""
	// without one.
	alias    string
	typ      string
	requires []*node // expanded, as written
	edges    []edge  // resolved
	keep     []field // what stays of the entry besides requires
	context  *node
	filters  *node
	job      *compiledJob // nil for an approval
	at       *node
}

// An edge is one resolved requirement.
type edge struct {
	call     *call
	statuses *node // nil means success
	at       *node
}

// findWorkflows lists the workflows that run, by their conditions.
func (c *compiler) findWorkflows(root *node) {
	f := root.field("workflows")
	if f.key != nil && !c.requireMap(f.value, "workflows") {
		return
	}
	found := false
	if f.value != nil {
		for _, w := range f.value.fields {
			if w.name() == "version" {
				continue
			}
			found = true
			c.workflow(w)
		}
	}
	if found {
		return
	}
	jobs := root.field("jobs")
	if !c.requireMap(jobs.value, "jobs") {
		return
	}
	build := jobs.value.field("build")
	if build.key == nil {
		at := root
		if jobs.key != nil {
			at = jobs.key
		}
		e := c.fail(at, "CFG053", "Cannot find a job named `build` to run in the `jobs:` section of your configuration file.")
		e.Hint = "If you expected a workflow to run, check your config contains a top-level key called 'workflows:'"
		return
	}
	entry := list([]*node{text("build", build.key)}, build.key)
	c.workflows = append(c.workflows, &workflow{
		name: "workflow", key: build.key, implied: c.legacy,
		body: mapping([]field{{text("jobs", build.key), entry}}, build.key),
	})
}

// workflow adds one workflow, if it runs.
func (c *compiler) workflow(f field) {
	what := "workflow " + f.name()
	if f.value.isNull() || f.value.kind != mapKind {
		c.wrongKind(f.value.or(f.key), what, "Mapping")
		return
	}
	c.checkKeys(f.value, what, workflowKeys, nil)
	if p := f.value.field("parameters"); p.key != nil {
		c.warn(p.key, "CFG909", "the key 'parameters' means nothing in a workflow; pipeline parameters stand at the top")
	}
	if m := f.value.field("max_auto_reruns"); m.key != nil && !c.legacy {
		c.warn(m.key, "CFG905", "the key 'max_auto_reruns' of a workflow has no effect in this installation: failed workflows are not run again by themselves")
	}
	w := &workflow{name: f.name(), key: f.key, body: f.value}
	if !c.legacy {
		before := c.failures
		runs := false
		c.within("workflow", w.name, func() { runs = c.workflowRuns(f.value) })
		if !runs || c.failures > before {
			return
		}
	}
	if t := f.value.field("triggers"); t.key != nil && !t.value.isNull() {
		w.triggers = c.expand(t.value, &scope{space: c.main})
	}
	c.workflows = append(c.workflows, w)
}

// expandWorkflow expands the jobs of a workflow.
func (c *compiler) expandWorkflow(w *workflow) {
	jobs := w.body.field("jobs")
	if jobs.key == nil {
		c.fail(w.key, "CFG011", "required key [jobs] not found in workflow %s", w.name).Hint = "add the list of jobs that it runs: jobs: [...]"
		return
	}
	if jobs.value.isNull() || jobs.value.kind != listKind {
		e := c.wrongKind(jobs.value.or(jobs.key), "jobs of workflow "+w.name, "Sequence")
		if jobs.value.kind == mapKind {
			e.Hint = "begin each job with a dash"
		}
		return
	}
	for _, item := range jobs.value.items {
		if c.stopped() {
			return
		}
		c.entry(w, item)
	}
}

// entry expands one entry of a workflow's list of jobs.
func (c *compiler) entry(w *workflow, item *node) {
	sc := &scope{space: c.main}
	switch item.kind {
	case stringKind:
		name := c.expand(item, sc)
		if name.kind == stringKind && name.text != "" {
			c.invoke(w, name.text, item, nil)
		} else if !name.isNull() {
			c.wrongKind(name, "a job of workflow "+w.name, "String or Mapping")
		}
		return
	case mapKind:
	default:
		c.wrongKind(item, "a job of workflow "+w.name, "String or Mapping")
		return
	}
	if len(item.fields) != 1 {
		if len(item.fields) == 0 {
			c.fail(item, "CFG012", "a job of workflow %s is empty", w.name).Hint = "remove the dash, or write the job behind it"
			return
		}
		e := c.fail(item.fields[1].key, "CFG012", "a job of a workflow has one key, found: %s and %s", clip(item.fields[0].name(), 40), clip(item.fields[1].name(), 40))
		if item.fields[0].value.isNull() {
			e.Hint = "indent what belongs to '" + clip(item.fields[0].name(), 40) + "' by two more blanks"
		}
		w.broken(item.fields[0].name(), item.fields[0].key)
		return
	}
	f := item.fields[0]
	if !f.value.isNull() && f.value.kind != mapKind {
		c.wrongKind(f.value, "the job "+f.name()+" of workflow "+w.name, "Mapping")
		return
	}
	c.invoke(w, c.key(f.key, sc).text, f.key, f.value)
}

// entryKeys are the keys of an entry that are not arguments.
var entryKeys = append([]string{"plan_name", "key", "timeout"}, reservedParameters...)

// invoke expands an entry, once or for each cell of its matrix.
func (c *compiler) invoke(w *workflow, name string, key, body *node) {
	matrix := body.get("matrix")
	if matrix.isNull() || c.legacy {
		c.cell(w, name, key, body, &scope{space: c.main}, nil, "")
		return
	}
	cells, alias, ok := c.matrix(name, matrix, body)
	if alias == "" {
		alias = name
		if n := body.get("name"); n != nil && !n.template && n.str() != "" {
			alias = n.str()
		}
	}
	if !ok {
		w.noteMatrix(alias, 0)
		return
	}
	for _, values := range cells {
		if c.stopped() {
			return
		}
		c.cell(w, name, key, body, &scope{space: c.main, matrix: values}, values, alias)
	}
	w.noteMatrix(alias, len(cells))
}

// cell expands one job of a workflow. values are its cell of a matrix, nil
// without one.
func (c *compiler) cell(w *workflow, name string, key, body *node, sc *scope, values map[string]*node, alias string) {
	if c.cells++; c.cells > c.limits.Jobs {
		c.abort(key, "CFG003", "the workflows expand to more than %d jobs, the limit called 'jobs'", c.limits.Jobs)
		return
	}
	k := &call{w: w, invoked: name, base: name, alias: alias, at: key}
	if values != nil {
		k.base = name + cellSuffix(values)
	}
	var args []field
	c.within("job", name, func() {
		args = c.options(k, body, sc, values)
		if k.typ == "approval" {
			return
		}
		k.job = c.callJob(k, args, body, sc)
	})
	if k.typ != "approval" && k.job == nil {
		w.broken(k.base, key).alias = k.alias
		return
	}
	if c.legacy && slices.ContainsFunc(w.calls, k.repeats) {
		c.warn(key, "CFG905", "the job '%s' stands twice in workflow %s", name, w.name)
		return
	}
	w.calls = append(w.calls, k)
}

// broken adds a job that has been reported: others may require it, which is no
// further mistake.
func (w *workflow) broken(name string, at *node) *call {
	k := &call{w: w, invoked: name, base: name, at: at, job: &compiledJob{body: mapping(nil, at), at: at}}
	w.calls = append(w.calls, k)
	return k
}

// repeats reports whether two calls say the same.
func (k *call) repeats(o *call) bool {
	return k.base == o.base && equal(list(k.requires, nil), list(o.requires, nil)) &&
		equal(mapping(k.keep, nil), mapping(o.keep, nil))
}

// options reads what an entry says besides the arguments of the job, and
// returns those.
func (c *compiler) options(k *call, body *node, sc *scope, values map[string]*node) (args []field) {
	if body != nil {
		for _, f := range body.fields {
			if !slices.Contains(entryKeys, f.name()) {
				if _, twice := values[f.name()]; twice { // the original lets it pass
					c.warn(f.key, "CFG905", "the argument '%s' is given twice; the matrix decides", f.name())
					continue
				}
				args = append(args, f)
				continue
			}
			if !f.value.isNull() {
				c.option(k, f, sc)
			}
		}
	}
	written := body.get("matrix").get("parameters")
	for _, name := range keys(values) {
		key := written.field(name).key
		if key == nil {
			key = values[name]
		}
		args = append(args, field{text(name, key), values[name]})
	}
	return args
}

// option reads one key of an entry.
func (c *compiler) option(k *call, f field, sc *scope) {
	switch f.name() {
	case "matrix", "pre-steps", "post-steps":
		return
	case "serial-group", "override-with":
		c.warn(f.key, "CFG905", "the key '%s' has no effect in this installation: %s", f.name(), withoutEffect[f.name()])
	}
	v := c.expand(f.value, sc)
	if v.isNull() {
		return
	}
	switch f.name() {
	case "name":
		if !v.isScalar() || v.text == "" || strings.ContainsAny(v.text, "\n\r\x00") {
			c.wrongKind(f.value, "name", "String")
			return
		}
		k.base = v.text
		return
	case "requires":
		k.requires = c.requirements(v, f)
		return
	case "type":
		k.typ = v.str()
		if !slices.Contains(jobTypes, k.typ) {
			e := c.fail(f.value, "CFG013", "the type of a job is approval, found: %s", v.show())
			e.Hint = cmpOr(suggest(k.typ, jobTypes, ""), "write type: approval for a job that waits for a person")
		}
	case "context":
		k.context = v
		if !v.isScalar() && v.kind != listKind {
			c.wrongKind(f.value, "context", "String or Sequence")
		}
	case "filters":
		k.filters = v
		c.checkFilters(v)
	}
	k.keep = append(k.keep, field{f.key, v})
}

// withoutEffect says what keys of an entry would do elsewhere.
var withoutEffect = map[string]string{
	"serial-group":  "jobs of a group do not wait for each other",
	"override-with": "the job itself runs",
}

// requirements reads the list of required jobs.
func (c *compiler) requirements(v *node, f field) []*node {
	switch v.kind {
	case listKind:
	case stringKind:
		return []*node{v}
	default:
		c.wrongKind(f.value, "requires", "Sequence")
		return nil
	}
	var out []*node
	for _, item := range v.items {
		switch {
		case item.isScalar() && item.text != "":
		case item.kind == mapKind && len(item.fields) == 1:
		case item.kind == listKind: // an alias to a list of names
			out = append(out, c.requirements(item, f)...)
			continue
		case item.isNull():
			continue
		default:
			c.wrongKind(item, "requires", "String or Mapping")
			continue
		}
		out = append(out, item)
	}
	return out
}

// appendAround expands the steps that an entry puts before or after those of
// its job.
func (c *compiler) appendAround(out *[]*node, steps *node, sc *scope) {
	if steps != nil {
		c.appendSteps(out, steps, sc)
	}
}

// callJob expands the job that an entry names.
func (c *compiler) callJob(k *call, args []field, body *node, sc *scope) *compiledJob {
	f, in, ok := c.member(c.main, "jobs", k.invoked, k.at)
	if !ok {
		return nil
	}
	if f.key == nil {
		if k.typ != "" && k.typ != "build" {
			return &compiledJob{body: mapping(nil, k.at), at: k.at}
		}
		e := c.fail(k.at, "CFG021", "Cannot find a definition for job named %s", clip(k.invoked, 80))
		if c.legacy && strings.Contains(k.invoked, "/") {
			e.Hint = "orbs need version: 2.1"
			return nil
		}
		if c.main.root.get("job-groups").get(k.invoked) != nil {
			e.Hint = "job-groups are not known here: list the jobs of the group in the workflow"
			return nil
		}
		if e.Hint = suggest(k.invoked, c.main.names("jobs"), ""); e.Hint == "" {
			e.Hint = "define it under jobs, or add type: approval if a person is to decide"
		}
		return nil
	}
	if f.value.isNull() || f.value.kind != mapKind {
		e := c.wrongKind(f.value.or(f.key), "jobs/"+k.invoked, "Mapping")
		if f.value.isNull() {
			e.Hint = "the job is empty: indent what belongs to it by two more blanks"
		}
		return nil
	}
	d := c.declare(f.value, in, "job")
	if c.legacy {
		for _, a := range args {
			c.warn(a.key, "CFG909", "the key '%s' means nothing in a workflow of version 2", clip(a.name(), 60))
		}
		args = nil
	}
	before := c.failures
	params, ok := c.bind(d, k.invoked, args, sc, k.at)
	var pre, post []*node
	if body != nil && !c.legacy {
		// They become steps of the job, so they see its parameters; commands
		// are those of the configuration, also for an orb's job.
		around := *sc
		if around.params = params; ok {
			c.appendAround(&pre, body.get("pre-steps"), &around)
			c.appendAround(&post, body.get("post-steps"), &around)
		}
	}
	if !ok || c.failures > before {
		return nil
	}
	n := c.job(d, k.invoked, params, pre, post, f.key)
	if n == nil {
		return nil
	}
	if k.typ == "" {
		if t := n.get("type").str(); t != "build" {
			k.typ = t
		}
	}
	return &compiledJob{body: n, at: f.key}
}
