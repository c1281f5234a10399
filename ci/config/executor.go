package config

import (
	"slices"
	"strings"
)

// executor resolves what stands under the key executor of a job and returns
// the keys that it lays down. ok is false after a reported mistake.
func (c *compiler) executor(value *node, sc *scope) (fields []field, ok bool) {
	before := c.failures
	v := c.expand(value, sc)
	if c.failures > before || c.dead {
		return nil, false
	}
	in := sc.space
	if v.space != nil {
		in = v.space
	}
	name, args, ok := executorCall(v)
	if !ok {
		e := c.wrongKind(value, "executor", "String or Mapping")
		if v.kind == mapKind {
			e.Message, e.Code = "required key [name] not found in executor", "CFG011"
		}
		return nil, false
	}
	f, home, ok := c.member(in, "executors", name, value)
	if !ok {
		return nil, false
	}
	if f.key == nil {
		e := c.fail(value, "CFG022", "Cannot find a definition for executor named '%s'", clip(name, 80))
		e.Hint = cmpOr(suggest(name, in.names("executors"), ""), listed("the executors are", in.names("executors")))
		return nil, false
	}
	if f.value.kind == stringKind && f.value.text != "" {
		// Another name for an executor, usually one of an orb.
		if len(c.aliases) > 20 || slices.Contains(c.aliases, name) {
			c.fail(value, "CFG026", "the executor '%s' is itself: %s", name, strings.Join(append(c.aliases, name), " -> "))
			return nil, false
		}
		c.aliases = append(c.aliases, name)
		defer func() { c.aliases = c.aliases[:len(c.aliases)-1] }()
		return c.executor(f.value, &scope{space: home})
	}
	if f.value.isNull() || f.value.kind != mapKind {
		c.wrongKind(f.value.or(f.key), "executors/"+name, "Mapping")
		return nil, false
	}
	c.within("executor", name, func() {
		fields, ok = c.executorBody(c.declare(f.value, home, "executor"), name, args, &scope{space: in, params: sc.params, matrix: sc.matrix}, value)
	})
	return fields, ok
}

// executorCall takes a call of an executor apart: a name, a map with the key
// name, or a map from the name to the arguments.
func executorCall(v *node) (name string, args []field, ok bool) {
	switch v.kind {
	case stringKind:
		return v.text, nil, v.text != ""
	case mapKind:
	default:
		return "", nil, false
	}
	if n := v.get("name"); n != nil {
		for _, f := range v.fields {
			if f.name() != "name" {
				args = append(args, f)
			}
		}
		return n.str(), args, n.str() != ""
	}
	if len(v.fields) == 1 {
		f := v.fields[0]
		switch f.value.kind {
		case nullKind:
			return f.name(), nil, true
		case mapKind:
			return f.name(), f.value.fields, true
		}
	}
	return "", nil, false
}

// executorBody expands a declared executor.
func (c *compiler) executorBody(d *declaration, name string, args []field, caller *scope, at *node) ([]field, bool) {
	params, ok := c.bind(d, name, args, caller, at)
	if !ok {
		return nil, false
	}
	c.checkKeys(d.body, "executor "+name, executorKeys, nil)
	var kinds []field
	var out []field
	inside := &scope{space: d.space, params: params}
	for _, f := range d.body.fields {
		switch f.name() {
		case "parameters", "description":
			continue
		}
		if f.value.isNull() {
			continue
		}
		v := c.expand(f.value, inside)
		if slices.Contains(kindKeys, f.name()) {
			kinds = append(kinds, f)
		}
		out = append(out, field{f.key, v})
	}
	return c.hoist(out), c.oneKind(kinds, "executor "+name, at)
}

// oneKind reports when there is not one of docker, machine and macos.
func (c *compiler) oneKind(kinds []field, what string, at *node) bool {
	switch len(kinds) {
	case 1:
		return true
	case 0:
		c.fail(at, "CFG058", "required key [docker] not found in %s", what).Hint = "it needs docker, machine or macos, or an executor"
	default:
		c.fail(kinds[1].key, "CFG058", "%s has both %s and %s: 2 subschemas matched instead of one", what, kinds[0].name(), kinds[1].name()).Hint =
			"keep the one that is meant"
	}
	return false
}

// hoistedKeys may stand inside a machine map and belong to the job.
var hoistedKeys = []string{"resource_class", "shell", "environment", "working_directory"}

// hoist moves the job's keys out of a machine map. Keys that the job has
// itself win.
func (c *compiler) hoist(fields []field) []field {
	at := slices.IndexFunc(fields, func(f field) bool { return f.name() == "machine" })
	if at < 0 || fields[at].value.kind != mapKind {
		return fields
	}
	machine := fields[at].value
	if !slices.ContainsFunc(machine.fields, func(f field) bool { return slices.Contains(hoistedKeys, f.name()) }) {
		return fields
	}
	var kept, moved []field
	for _, f := range machine.fields {
		switch {
		case !slices.Contains(hoistedKeys, f.name()):
			kept = append(kept, f)
		case !slices.ContainsFunc(fields, func(g field) bool { return g.name() == f.name() }):
			moved = append(moved, f)
		}
	}
	rest := mapping(kept, machine)
	if len(kept) == 0 {
		rest = truth(true).at(machine)
	}
	out := slices.Clone(fields[:at])
	out = append(out, field{fields[at].key, rest})
	out = append(out, moved...)
	return append(out, fields[at+1:]...)
}
