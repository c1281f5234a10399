package config

import (
	"slices"
	"strings"
)

// steps expands a list of steps: commands are replaced by their steps,
// conditions decided, step parameters spliced in. What comes out are built-in
// steps only, each a text or a map with one key.
func (c *compiler) steps(n *node, sc *scope) []*node {
	var out []*node
	c.appendSteps(&out, n, sc)
	return out
}

// appendSteps expands a list of steps, or an expression that gives one.
func (c *compiler) appendSteps(out *[]*node, n *node, sc *scope) {
	if n.kind == stringKind && n.template && !c.legacy {
		v := c.expand(n, sc)
		if v.kind == listKind {
			c.splice(out, v, n)
			return
		}
		if !v.isNull() {
			c.wrongKind(v, "steps", "Sequence").Hint = "only a parameter of type steps may stand for a list of steps"
		}
		return
	}
	switch n.kind {
	case nullKind:
		return
	case listKind:
	default:
		c.wrongKind(n, "steps", "Sequence").Hint = "steps are a list: begin each with a dash"
		return
	}
	for _, item := range n.items {
		if c.dead {
			return
		}
		c.step(out, item, sc)
	}
}

// splice adds steps that are expanded already.
func (c *compiler) splice(out *[]*node, v *node, at *node) {
	for _, s := range v.items {
		if c.dead {
			return
		}
		c.emit(out, s, at)
	}
}

// emit adds one expanded step, up to the limit.
func (c *compiler) emit(out *[]*node, s, at *node) {
	c.stepped++
	c.work(int(s.size))
	if c.stepped > c.limits.Steps {
		c.abort(at, "CFG003", "the configuration expands to more than %d steps, the limit called 'steps'", c.limits.Steps)
		return
	}
	*out = append(*out, s)
}

// step expands one entry of a list of steps.
func (c *compiler) step(out *[]*node, item *node, sc *scope) {
	switch item.kind {
	case listKind: // an alias to a list of steps
		c.appendSteps(out, item, sc)
		return
	case stringKind:
		name := item
		if item.template && !c.legacy {
			name = c.expand(item, sc)
			if name.kind == listKind {
				c.splice(out, name, item)
				return
			}
		}
		if name.kind != stringKind || name.text == "" {
			if !name.isNull() || c.failures == 0 {
				c.wrongKind(name, "a step", "String or Mapping")
			}
			return
		}
		c.call(out, name.text, item, nil, item, sc)
		return
	case mapKind:
	case nullKind:
		c.fail(item, "CFG012", "a step is empty").Hint = "remove the dash, or write the step behind it"
		return
	default:
		c.wrongKind(item, "a step", "String or Mapping")
		return
	}
	if len(item.fields) != 1 {
		c.manyKeys(item)
		return
	}
	f := item.fields[0]
	key := f.key
	if key.template && !c.legacy {
		key = c.key(key, sc)
	}
	c.call(out, key.text, f.key, f.value, item, sc)
}

// manyKeys reports a step that is a map with no key or with several: almost
// always wrong indentation.
func (c *compiler) manyKeys(item *node) {
	if len(item.fields) == 0 {
		c.fail(item, "CFG012", "a step is empty").Hint = "remove the dash, or write the step behind it"
		return
	}
	first := item.fields[0]
	var names []string
	for _, f := range item.fields {
		names = append(names, clip(f.name(), 30))
	}
	e := c.fail(item.fields[1].key, "CFG012", "a step has one key, found: %s", strings.Join(names[:min(len(names), 6)], ", "))
	if first.value.isNull() {
		e.Hint = "indent what belongs to '" + clip(first.name(), 40) + "' by two more blanks"
	} else if _, ok := stepKeys[item.fields[1].name()]; ok {
		e.Hint = "begin each step with a dash"
	}
}

// call expands the step called name with the value behind it.
func (c *compiler) call(out *[]*node, name string, key, value, item *node, sc *scope) {
	switch name {
	case "when", "unless":
		c.whenStep(out, name, key, value, sc)
		return
	case "steps":
		if !c.legacy {
			if value.isNull() {
				c.fail(key, "CFG012", "steps: expected type: Sequence, found: Null").Hint = "the list is missing"
				return
			}
			c.appendSteps(out, value, sc)
			return
		}
	}
	f, in, ok := c.member(sc.space, "commands", name, key)
	if !ok {
		return
	}
	if now, ok := formerSteps[name]; ok && c.legacy {
		c.warn(key, "CFG905", "the step '%s' is now called %s", name, now)
		name, key = now, text(now, key)
		item = key // as if it had been written so
	}
	_, builtin := stepKeys[name]
	if f.key != nil && !c.legacy {
		d := c.declare(f.value, in, "command")
		if !builtin || !slices.Contains(c.calls, d) {
			c.command(out, name, d, key, value, sc)
			return
		}
	}
	if builtin {
		if s := c.builtin(name, key, value, item, sc); s != nil {
			c.emit(out, s, key)
		}
		return
	}
	c.unknownStep(name, key, in)
}

// unknownStep reports a step that is neither built in nor a command.
func (c *compiler) unknownStep(name string, key *node, in *space) {
	e := c.fail(key, "CFG020", "Cannot find a definition for command named %s", clip(name, 80))
	if now, ok := formerSteps[name]; ok {
		e.Hint = "this step is called " + now
		return
	}
	local := localName(name)
	known := in.names("commands")
	prefix := ""
	if in != nil && in.orb && local != name {
		prefix = name[:len(name)-len(local)]
	} else {
		known = append(known, keys(stepKeys)...)
	}
	if e.Hint = suggest(local, known, prefix); e.Hint != "" {
		return
	}
	if local != name && len(known) > 0 {
		e.Hint = "the orb has the commands " + clip(strings.Join(known, ", "), 200)
	} else if strings.ContainsAny(name, " \t") {
		e.Hint = "a shell command is written - run: " + clip(name, 60)
	} else if slices.Contains(stepKeys["run"], name) {
		e.Hint = "'" + name + "' belongs below a run step; check the indentation"
	} else {
		e.Hint = "a shell command is written - run: ...; an own step is defined under the top-level key commands"
	}
}

// command expands a call of a command.
func (c *compiler) command(out *[]*node, name string, d *declaration, key, value *node, sc *scope) {
	if slices.Contains(c.calls, d) {
		c.recursion(name, d, key)
		return
	}
	if len(c.calls) >= c.limits.Calls {
		c.abort(key, "CFG003", "commands call each other more than %d deep, the limit called 'calls'", c.limits.Calls)
		return
	}
	if !c.requireMap(d.body, "command "+name) || d.body.isNull() {
		if d.body.isNull() {
			c.fail(key, "CFG011", "the command '%s' is empty", name)
		}
		return
	}
	var args []field
	switch {
	case value.isNull():
	case value.kind == mapKind:
		args = value.fields
	default:
		v := c.expand(value, sc)
		if v.kind != mapKind {
			c.wrongKind(value, "the arguments of "+name, "Mapping")
			return
		}
		args = v.fields
	}
	params, ok := c.bind(d, name, args, sc, key)
	if !ok {
		return
	}
	c.checkKeys(d.body, "command "+name, commandKeys, nil)
	steps := d.body.field("steps")
	if steps.key == nil {
		c.fail(d.body, "CFG011", "required key [steps] not found in command %s", name)
		return
	}
	c.calls = append(c.calls, d)
	c.within("command", name, func() {
		c.appendSteps(out, steps.value, &scope{space: d.space, params: params})
	})
	c.calls = c.calls[:len(c.calls)-1]
}

// recursion reports a command that calls itself, with the way around.
func (c *compiler) recursion(name string, d *declaration, key *node) {
	var way []string
	from := slices.Index(c.calls, d)
	for _, t := range c.trace[max(0, len(c.trace)-len(c.calls)+from):] {
		way = append(way, t.name)
	}
	c.fail(key, "CFG026", "the command '%s' calls itself: %s", name, strings.Join(append(way, name), " -> ")).Hint =
		"commands are expanded before anything runs, so one of these calls has to go"
}

// whenStep expands a conditional step.
func (c *compiler) whenStep(out *[]*node, name string, key, value *node, sc *scope) {
	if value.isNull() || value.kind != mapKind {
		c.wrongKind(value.or(key), name, "Mapping")
		return
	}
	if c.legacy {
		c.warn(key, "CFG909", "the step '%s' needs version: 2.1", name)
		return
	}
	for _, f := range value.fields {
		if !slices.Contains(stepsOfWhen, f.name()) { // the original does not mind a name here
			c.warn(f.key, "CFG909", "the key '%s' means nothing in %s", clip(f.name(), 60), name)
		}
	}
	condition, steps := value.field("condition"), value.field("steps")
	if condition.key == nil || steps.key == nil {
		missing := "condition"
		if condition.key != nil {
			missing = "steps"
		}
		c.fail(key, "CFG011", "required key [%s] not found in %s", missing, name)
		return
	}
	before := c.failures
	holds := c.condition(condition.value, sc, 0)
	if c.failures > before {
		return
	}
	if holds != (name == "when") {
		return
	}
	if steps.value.kind == mapKind {
		// The original reads a step without its dash here, and only here.
		c.warn(steps.value, "CFG913", "the steps of '%s' are written as a map; begin each with a dash", name)
		for _, f := range steps.value.fields {
			c.step(out, mapping([]field{f}, f.key), sc)
		}
		return
	}
	c.appendSteps(out, steps.value, sc)
}
