package config

import (
	"slices"
	"strings"
)

// builtin expands and checks a built-in step and returns it in normal form: a
// text when it has no arguments, else a map with one key.
func (c *compiler) builtin(name string, key, value, item *node, sc *scope) *node {
	if value == nil || value.isNull() {
		return c.bare(name, key)
	}
	if name == "run" || name == "deploy" {
		return c.runStep(name, key, value, item, sc)
	}
	v := c.expand(value, sc)
	if v.kind == stringKind && name == "store_test_results" || v.kind == stringKind && name == "store_artifacts" {
		v = mapping([]field{{text("path", v), v}}, v)
	}
	if v.kind != mapKind {
		if !v.isNull() {
			c.wrongKind(value, name, "Mapping")
		}
		return nil
	}
	c.checkStepKeys(v, name)
	if !c.checkStep(name, key, v) {
		return nil
	}
	return c.step1(key, name, v, value, item)
}

// step1 makes the map of a step, or returns the one that was written when
// nothing changed.
func (c *compiler) step1(key *node, name string, v, value, item *node) *node {
	if v == value && item.kind == mapKind && !key.template {
		return item
	}
	return mapping([]field{{text(name, key), v}}, key)
}

// bare is a step without arguments.
func (c *compiler) bare(name string, key *node) *node {
	switch name {
	case "checkout", "setup_remote_docker", "add_ssh_keys", "install_signing_bundle":
		return text(name, key)
	}
	e := c.fail(key, "CFG011", "the step '%s' needs arguments", name)
	if form := stepForms[name]; form != "" {
		e.Hint = "write " + form
	}
	if name == "run" || name == "deploy" {
		e.Message = "required key [command] not found in " + name
		e.Hint = "write the command behind it; what belongs to it is indented by two more blanks"
	}
	return nil
}

// runStep expands run and deploy. A text becomes a map with the command and
// no name.
func (c *compiler) runStep(name string, key, value, item *node, sc *scope) *node {
	c.inShell = true
	v := c.expand(value, sc)
	c.inShell = false
	switch v.kind {
	case stringKind:
		return mapping([]field{{text(name, key), mapping([]field{{text("command", value), v}}, value)}}, key)
	case intKind, floatKind, boolKind:
		command := text(cmpOr(v.raw, v.text), v)
		return mapping([]field{{text(name, key), mapping([]field{{text("command", value), command}}, value)}}, key)
	case mapKind:
	default:
		if !v.isNull() {
			c.wrongKind(value, name, "String or Mapping")
		}
		return nil
	}
	c.checkStepKeys(v, name)
	command := v.field("command")
	if command.key == nil {
		e := c.fail(key, "CFG011", "required key [command] not found in %s", name)
		e.Hint = "Permitted keys: command, name, shell, environment, working_directory, ..."
		return nil
	}
	if command.value.isNull() {
		c.warn(command.key, "CFG905", "the command of '%s' is empty", name)
	} else if !command.value.isScalar() {
		c.wrongKind(command.value, name+"/command", "String")
		return nil
	}
	c.scalarKeys(v, name, "name", "shell", "working_directory", "no_output_timeout", "when")
	if w := v.get("when"); w != nil && !slices.Contains([]string{"", "always", "on_success", "on_fail"}, w.str()) {
		e := c.fail(w, "CFG013", "%s/when has to be on_success, on_fail or always, found: %s", name, w.show())
		e.Hint = suggest(w.str(), []string{"always", "on_success", "on_fail"}, "")
	}
	c.duration(v.field("no_output_timeout"))
	if b := v.get("background"); b != nil && b.kind == stringKind && b.text != "" && b.text != "true" && b.text != "false" {
		c.wrongKind(b, name+"/background", "Boolean")
	}
	if env := v.get("environment"); !env.isNull() && env.kind != mapKind {
		c.vars(env)
	}
	return c.step1(key, name, v, value, item)
}

// checkStepKeys looks for keys that a built-in step does not have. The original
// ignores them, and configurations that are in use have some, so a key is only
// an error when it looks like a slip of the pen.
func (c *compiler) checkStepKeys(v *node, name string) {
	permitted := stepKeys[name]
	if permitted == nil || v.kind != mapKind {
		return
	}
	c.checkKeys(v, name, permitted, func(key string) bool {
		if c.legacy || nearest(key, permitted) != "" || strings.HasPrefix(key, "\\<<") {
			return false
		}
		c.warn(v.field(key).key, "CFG909", "the key '%s' means nothing in %s, which has the keys %s", clip(key, 60), name, strings.Join(permitted, ", "))
		return true
	})
}

// stepForms are the steps with the keys that they need.
var stepForms = map[string]string{
	"save_cache":           "save_cache: {key: ..., paths: [...]}",
	"restore_cache":        "restore_cache: {keys: [...]}",
	"store_artifacts":      "store_artifacts: {path: ...}",
	"store_test_results":   "store_test_results: {path: ...}",
	"persist_to_workspace": "persist_to_workspace: {root: ., paths: [...]}",
	"attach_workspace":     "attach_workspace: {at: .}",
}

// checkStep reports what a built-in step lacks.
func (c *compiler) checkStep(name string, key, v *node) bool {
	need := func(names ...string) bool {
		for _, n := range names {
			if f := v.field(n); f.key != nil && (!f.value.isNull() || f.value.raw == "~") {
				return true
			}
		}
		c.fail(key, "CFG011", "required key [%s] not found in %s", names[0], name).Hint = "add it: " + stepForms[name]
		return false
	}
	switch name {
	case "save_cache":
		return need("key") && need("paths") && c.textList(v, name, "paths")
	case "restore_cache":
		return need("key", "keys") && c.textList(v, name, "keys")
	case "store_artifacts", "store_test_results":
		return need("path")
	case "persist_to_workspace":
		return need("root") && need("paths") && c.textList(v, name, "paths")
	case "attach_workspace":
		return need("at")
	case "add_ssh_keys":
		return c.textList(v, name, "fingerprints")
	}
	return true
}

// textList checks that a key, if there, is a text or a list of texts.
func (c *compiler) textList(v *node, name, key string) bool {
	f := v.field(key)
	if f.key == nil || f.value.isNull() || f.value.isScalar() {
		return true
	}
	if f.value.kind != listKind {
		c.wrongKind(f.value, name+"/"+key, "Sequence")
		return false
	}
	for _, item := range f.value.items {
		if !item.isScalar() {
			e := c.wrongKind(item, name+"/"+key, "String")
			if item.kind == mapKind {
				e.Hint = "quote a text that has ': ' in it"
			}
			return false
		}
	}
	return true
}
