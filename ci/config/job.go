package config

import "slices"

// A compiledJob is the expanded body of a job, which one or more jobs of the
// workflows share.
type compiledJob struct {
	name string // final; set when all jobs are known
	body *node
	text string // printed, to tell bodies apart
	at   *node
	spec *plannedSpec
}

// job expands a job with the parameters bound. pre and post are steps that
// the workflow adds. nil is a reported mistake.
func (c *compiler) job(d *declaration, name string, params map[string]*node, pre, post []*node, at *node) *node {
	body := d.body
	before := c.failures
	c.checkKeys(body, "job "+name, jobKeys, nil)
	inside := &scope{space: d.space, params: params}
	var base []field
	if x := body.field("executor"); x.key != nil && !x.value.isNull() {
		if c.legacy {
			c.fail(x.key, "CFG005", "the key 'executor' needs version: 2.1")
			return nil
		} else {
			fields, ok := c.executor(x.value, inside)
			if !ok {
				return nil
			}
			base = fields
		}
	}
	var own, env []field
	for _, f := range body.fields {
		switch f.name() {
		case "parameters", "description", "executor", "steps", "usage", "examples", "display":
			continue
		}
		if f.value.isNull() {
			continue
		}
		if v := c.expand(f.value, inside); !v.isNull() {
			own = append(own, field{f.key, v})
		}
	}
	own = c.hoist(own)
	fields := make([]field, 0, len(base)+len(own)+2)
	ownKind := slices.ContainsFunc(own, isKind)
	for _, f := range base {
		switch {
		case f.name() == "environment":
			env = c.environment(env, f.value)
		case ownKind && isKind(f), slices.ContainsFunc(own, func(g field) bool { return g.name() == f.name() }):
		default:
			fields = append(fields, f)
		}
	}
	for _, f := range own {
		if f.name() == "environment" {
			env = c.environment(env, f.value)
			continue
		}
		fields = append(fields, f)
	}
	typ := kindOfJob(fields)
	c.checkKinds(fields, typ, name, at)
	if e := firstField(body, base, "environment"); e != nil {
		fields = append(fields, field{text("environment", e), environmentList(env, e)})
	}
	steps := c.jobSteps(body, typ, name, inside, pre, post, at)
	if c.failures > before || c.dead {
		return nil
	}
	if steps != nil {
		fields = append(fields, field{text("steps", steps), steps})
	}
	return mapping(fields, body)
}

func isKind(f field) bool { return slices.Contains(kindKeys, f.name()) }

// firstField returns the value under key of the body, or of the executor.
func firstField(body *node, base []field, key string) *node {
	if v := body.get(key); !v.isNull() {
		return v
	}
	for _, f := range base {
		if f.name() == key {
			return f.value
		}
	}
	return nil
}

// kindOfJob is the type of a job, "build" when it names none.
func kindOfJob(fields []field) string {
	for _, f := range fields {
		if f.name() == "type" {
			return f.value.str()
		}
	}
	return "build"
}

// checkKinds reports when a job that runs steps has not one executor.
func (c *compiler) checkKinds(fields []field, typ, name string, at *node) {
	switch typ {
	case "build":
	case "approval", "no-op", "release", "lock", "unlock":
		return
	default:
		for _, f := range fields {
			if f.name() == "type" {
				e := c.fail(f.value, "CFG013", "the type of job %s is not known: %s", name, f.value.show())
				if e.Hint = suggest(typ, jobTypes, ""); e.Hint == "" {
					e.Hint = "one of build, approval, no-op, release, lock, unlock"
				}
			}
		}
		return
	}
	var kinds []field
	for _, f := range fields {
		if isKind(f) {
			kinds = append(kinds, f)
		}
	}
	c.oneKind(kinds, "job "+name, at)
}

var jobTypes = []string{"build", "approval", "no-op", "release", "lock", "unlock"}

// jobSteps expands the steps of a job, between those of the workflow.
func (c *compiler) jobSteps(body *node, typ, name string, sc *scope, pre, post []*node, at *node) *node {
	f := body.field("steps")
	if f.key == nil {
		if typ == "build" {
			c.fail(at, "CFG011", "[#/jobs/%s] required key [steps] not found", name).Hint = "add the list of steps: steps: [checkout]"
		}
		return nil
	}
	out := slices.Clone(pre)
	if f.value.isNull() {
		c.wrongKind(f.key, "steps of job "+name, "Sequence").Message = "[#/jobs/" + name + "/steps] expected type: Sequence, found: Null"
	} else {
		c.appendSteps(&out, f.value, sc)
	}
	return list(append(out, post...), f.value)
}

// maxVariables is how many variables an environment may have.
const maxVariables = 2000

// environment adds the entries of an environment in any of its forms to those
// that are there; a key that is there keeps its place.
func (c *compiler) environment(env []field, n *node) []field {
	add := func(f field) {
		if f.value.kind == listKind || f.value.kind == mapKind {
			c.wrongKind(f.value, "environment/"+f.name(), "String").Hint = "a variable has one value: write a text"
			return
		}
		for i := range env {
			if env[i].name() == f.name() {
				env[i] = f
				return
			}
		}
		if len(env) >= maxVariables {
			c.abort(f.key, "CFG003", "an environment has more than %d variables", maxVariables)
			return
		}
		env = append(env, f)
	}
	switch n.kind {
	case nullKind:
	case mapKind:
		for _, f := range n.fields {
			add(f)
		}
	case listKind:
		for _, item := range n.items {
			switch {
			case item.kind == mapKind:
				for _, f := range item.fields {
					add(f)
				}
			case item.kind == stringKind:
				key, value, ok := cutVariable(item.text)
				if !ok {
					c.fail(item, "CFG012", "an entry of environment has the form NAME=value, found: %s", item.show()).Hint = "write NAME: value or NAME=value"
					continue
				}
				add(field{text(key, item), text(value, item)})
			case item.isNull():
			default:
				c.wrongKind(item, "environment", "Mapping or String")
			}
		}
	default:
		c.wrongKind(n, "environment", "Mapping")
	}
	return env
}

// cutVariable splits NAME=value.
func cutVariable(s string) (name, value string, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] == '=' {
			return s[:i], s[i+1:], i > 0
		}
	}
	return "", "", false
}

// environmentList is the form an environment is printed in: a list of maps
// with one entry each.
func environmentList(env []field, at *node) *node {
	items := make([]*node, len(env))
	for i, f := range env {
		items[i] = mapping([]field{f}, f.key)
	}
	return list(items, at)
}
