package config

import (
	"slices"
	"strings"
)

// truthy reports whether a value counts as true: everything but false, null,
// 0, NaN and what is empty. The texts "false" and "0" are true.
func truthy(v *node) bool {
	if v.isNull() {
		return false
	}
	switch v.kind {
	case boolKind:
		return v.text == "true"
	case intKind:
		return strings.Trim(v.text, "-0") != ""
	case floatKind:
		return v.text != ".nan" && strings.Trim(v.text, "-0.") != ""
	case stringKind:
		return v.text != ""
	case listKind:
		return len(v.items) > 0
	}
	return len(v.fields) > 0
}

// logicOperators are the keys of logic statements.
var logicOperators = []string{"and", "or", "not", "equal", "matches"}

// maxLogic is how deep logic statements may nest.
const maxLogic = 100

// condition decides a logic statement: a literal, a tag, or a map with an
// operator.
func (c *compiler) condition(n *node, sc *scope, depth int) bool {
	if depth > maxLogic {
		c.fail(n, "CFG040", "logic statements are nested more than %d deep", maxLogic)
		return false
	}
	switch n.kind {
	case listKind:
		c.wrongKind(n, "a logic statement", "a literal or a Mapping").Hint = "and: [...] and or: [...] take a list"
		return false
	case stringKind:
		if !n.template {
			if holds, ok := c.bareExpression(n, sc); ok {
				return holds
			}
		}
		return truthy(c.expand(n, sc))
	case mapKind:
	default:
		return truthy(n)
	}
	if len(n.fields) != 1 {
		if len(n.fields) > 0 && !slices.ContainsFunc(n.fields, func(f field) bool { return !slices.Contains(logicOperators, f.name()) }) {
			// The original takes one of them and ignores the rest.
			c.warn(n.fields[1].key, "CFG909", "the key '%s' means nothing beside '%s' in a logic statement: only the first counts", n.fields[1].name(), n.fields[0].name())
			return c.condition(mapping(n.fields[:1], n), sc, depth+1)
		}
		if len(n.fields) > 0 {
			c.fail(n.fields[1].key, "CFG040", "a logic statement has one key, found: %d", len(n.fields)).Hint =
				"one of " + strings.Join(logicOperators, ", ")
		}
		return false
	}
	op, arg := n.fields[0].key, n.fields[0].value
	switch op.text {
	case "not":
		return !c.condition(arg, sc, depth+1)
	case "and", "or":
		return c.junction(op, arg, sc, depth)
	case "equal":
		return c.equality(op, arg, sc)
	case "matches":
		return c.matches(op, arg, sc)
	}
	e := c.fail(op, "CFG040", "extraneous key [%s] is not permitted in a logic statement", clip(op.text, 60))
	if e.Hint = suggest(op.text, logicOperators, ""); e.Hint == "" {
		e.Hint = "one of " + strings.Join(logicOperators, ", ")
	}
	return false
}

// junction decides and and or. All arguments are looked at, so that each
// mistake is found.
func (c *compiler) junction(op, arg *node, sc *scope, depth int) bool {
	if arg.isNull() || arg.kind != listKind {
		c.wrongKind(arg.or(op), op.text, "Sequence")
		return false
	}
	if len(arg.items) == 0 {
		c.fail(op, "CFG040", "'%s' needs at least one argument", op.text)
		return false
	}
	all, some := true, false
	for _, item := range arg.items {
		holds := c.condition(item, sc, depth+1)
		all, some = all && holds, some || holds
	}
	if op.text == "and" {
		return all
	}
	return some
}

// equality decides equal: all arguments are the same value of the same type.
func (c *compiler) equality(op, arg *node, sc *scope) bool {
	if arg.isNull() || arg.kind != listKind {
		c.wrongKind(arg.or(op), "equal", "Sequence")
		return false
	}
	if len(arg.items) == 0 {
		c.fail(op, "CFG040", "'equal' needs at least one argument")
		return false
	}
	first := c.expand(arg.items[0], sc)
	same := true
	for _, item := range arg.items[1:] {
		same = c.same(first, c.expand(item, sc), sc) && same
	}
	return same
}

// same compares two values. An executor is the same as a text that is its
// name, and the same as a map that is its definition or its call.
func (c *compiler) same(a, b *node, sc *scope) bool {
	if a.isNull() || b.isNull() {
		return a.isNull() && b.isNull()
	}
	if a.space == nil {
		a, b = b, a
	}
	if a.space == nil || b.space != nil && a.space == b.space {
		return equal(a, b)
	}
	name := a.get("name").str()
	switch b.kind {
	case stringKind:
		return b.text == name
	case mapKind:
		if equal(a, b) {
			return true
		}
		local, in := name, a.space
		if alias, rest, ok := strings.Cut(name, "/"); ok {
			if in = in.orbs[alias]; in == nil {
				return false
			}
			local = rest
		}
		f, ok := in.find("executors", local)
		return ok && equal(f.value, b)
	}
	return false
}

// matches decides matches: the whole value is matched by a regular expression.
func (c *compiler) matches(op, arg *node, sc *scope) bool {
	if arg.isNull() || arg.kind != mapKind {
		c.wrongKind(arg.or(op), "matches", "Mapping")
		return false
	}
	c.checkKeys(arg, "matches", []string{"pattern", "value"}, nil)
	pattern, value := c.expand(arg.get("pattern"), sc), c.expand(arg.get("value"), sc)
	if pattern.isNull() || pattern.kind != stringKind {
		c.fail(op, "CFG040", "'matches' needs a text under the key pattern")
		return false
	}
	if arg.get("value") == nil {
		c.fail(op, "CFG040", "'matches' needs a text under the key value")
		return false
	}
	if value.isNull() || value.kind != stringKind {
		if !value.isNull() && value.kind != listKind && value.kind != mapKind {
			c.fail(arg.get("value"), "CFG040", "the value of 'matches' has to be a string, found: %s (type %s)", value.show(), value.typeName())
		}
		return false
	}
	return c.match(pattern.text, value.text, arg.get("pattern"))
}

// workflowRuns decides when and unless of a workflow.
func (c *compiler) workflowRuns(body *node) bool {
	sc := &scope{space: c.main}
	runs := true
	for _, name := range []string{"when", "unless"} {
		f := body.field(name)
		if f.key == nil {
			continue
		}
		if f.value.kind == mapKind && f.value.get("condition") != nil && !slices.Contains(logicOperators, f.value.fields[0].name()) {
			c.warn(f.value, "CFG912", "a workflow's '%s' takes the statement itself, not a map with the key condition; the workflow always runs", name)
			continue
		}
		runs = c.condition(f.value, sc, 0) == (name == "when") && runs
	}
	return runs
}
