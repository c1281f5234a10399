package config

import (
	"context"
	"slices"
)

// ProcessOrb checks the source of an orb, as before it is published, and
// returns it the way it is read: aliases and merges resolved. What can be
// called without arguments is expanded as a configuration would; of the rest
// the parameters and the names of the steps are checked.
//
// Of the options, the file, the orbs, the cache and the limits count. It has
// the errors of [Compile].
func ProcessOrb(ctx context.Context, source []byte, o Options) (string, error) {
	if o.File == "" {
		o.File = "orb.yml"
	}
	c, err := start(ctx, source, o, (*compiler).packed)
	if err != nil {
		return "", err
	}
	return c.expanded, nil
}

// packed checks an orb that nothing imports.
func (c *compiler) packed(root *node) {
	if root.isNull() {
		c.fail(root, "CFG006", "the orb is empty").Hint = "an orb has commands, jobs or executors"
		return
	}
	if root.kind != mapKind {
		c.wrongKind(root, "the orb", "Mapping")
		return
	}
	for _, name := range []string{"workflows", "setup", "parameters"} {
		if f := root.field(name); f.key != nil {
			c.fail(f.key, "CFG010", "an orb has no %s: this is a configuration", name).Hint = "an orb has commands, jobs and executors only"
		}
	}
	if v := root.field("version"); v.key != nil && v.value.text != "2.1" {
		c.fail(v.value, "CFG005", "the version of an orb has to be 2.1, found: %s", v.value.show()).Hint = "write version: 2.1"
	}
	c.main = &space{root: root}
	c.checkSpace(root, orbKeys, "the orb")
	if c.failures > 0 {
		return
	}
	c.pipelineValues()
	for _, f := range root.get("orbs").fieldsOf() {
		c.orb(c.main, f.name(), f.key)
	}
	for _, group := range []string{"commands", "executors", "jobs"} {
		for _, f := range root.get(group).fieldsOf() {
			if c.stopped() {
				return
			}
			c.packedEntry(group, f)
		}
	}
	p := printer{max: c.limits.Expanded}
	p.fields(root.fields, 0, false)
	if p.full() {
		c.abort(root, "CFG003", "the orb as it is read has more than %d bytes, the limit called 'expanded'", c.limits.Expanded)
	}
	c.expanded = string(p.b)
}

// packedEntry checks a command, an executor or a job of the orb.
func (c *compiler) packedEntry(group string, f field) {
	name, kind := f.name(), group[:len(group)-1]
	if group == "executors" && f.value.kind == stringKind {
		return // another name for one, which is looked up where it is used
	}
	if !c.requireMap(f.value, kind+" "+name) {
		return
	}
	if f.value.isNull() {
		c.fail(f.key, "CFG011", "the %s '%s' is empty", kind, name)
		return
	}
	d := c.declare(f.value, c.main, kind)
	needs := slices.ContainsFunc(d.params, func(p param) bool { return p.def == nil })
	sc := &scope{space: c.main}
	switch {
	case needs && group != "executors":
		steps := f.value.field("steps")
		if steps.key == nil && group == "commands" {
			c.fail(f.value, "CFG011", "required key [steps] not found in command %s", name)
			return
		}
		c.within(kind, name, func() { c.stepNames(steps.value) })
	case needs:
	case group == "commands":
		var out []*node
		c.command(&out, name, d, f.key, scalar(nullKind, ""), sc)
	case group == "executors":
		c.within(kind, name, func() { c.executorBody(d, name, nil, sc, f.key) })
	default:
		if params, ok := c.bind(d, name, nil, sc, f.key); ok {
			c.within(kind, name, func() { c.job(d, name, params, nil, nil, f.key) })
		}
	}
}

// stepNames reports the steps of a list that are neither built in nor commands,
// without expanding them.
func (c *compiler) stepNames(steps *node) {
	if steps == nil || steps.kind != listKind {
		return
	}
	for _, item := range steps.items {
		key, value := item, (*node)(nil)
		if item.kind == mapKind && len(item.fields) == 1 {
			key, value = item.fields[0].key, item.fields[0].value
		}
		if key.kind != stringKind || key.template {
			continue
		}
		switch name := key.text; name {
		case "steps":
			c.stepNames(value)
		case "when", "unless":
			if value != nil && value.kind == mapKind {
				c.stepNames(value.get("steps"))
			}
		default:
			if _, builtin := stepKeys[name]; builtin {
				continue
			}
			if f, in, ok := c.member(c.main, "commands", name, key); ok && f.key == nil {
				c.unknownStep(name, key, in)
			}
		}
	}
}
