package config

import "strings"

// top checks the outermost map and finds out the version. It returns false
// when nothing more can be said.
func (c *compiler) top(root *node) bool {
	if root.isNull() {
		c.fail(root, "CFG006", "the configuration is empty").Hint = "begin with version: 2.1, jobs and workflows"
		return false
	}
	if root.kind != mapKind {
		c.wrongKind(root, "the configuration", "Mapping").Hint = "the outermost level has the keys version, jobs and workflows, without dashes"
		return false
	}
	version := root.field("version")
	if version.key == nil {
		e := c.fail(root, "CFG005", "required key [version] not found")
		e.Hint = "begin with version: 2.1"
		if root.get("machine") != nil || root.get("test") != nil || root.get("dependencies") != nil {
			e.Message, e.Hint = "CircleCI 1.0 is no longer supported", "the language has changed; begin with version: 2.1"
		}
		return false
	}
	switch v := version.value; {
	case v.isScalar() && (v.text == "2.1"):
	case v.isScalar() && (v.text == "2" || v.text == "2.0"):
		c.legacy = true
	default:
		e := c.fail(v, "CFG005", "the version has to be 2, 2.0 or 2.1, found: %s", v.show())
		e.Hint = "write version: 2.1"
		if strings.HasPrefix(v.str(), "1") {
			e.Message = "CircleCI 1.0 is no longer supported"
		}
		return false
	}
	c.main = &space{root: root}
	c.checkSpace(root, topKeys, "the configuration")
	if c.legacy {
		for _, group := range []string{"orbs", "commands", "executors", "parameters", "setup"} {
			if f := root.field(group); f.key != nil && !f.value.isNull() {
				c.warn(f.key, "CFG909", "the key '%s' means nothing in version 2; it needs version: 2.1", group)
			}
		}
	}
	return true
}

// compile expands the workflows and prints the result.
func (c *compiler) compile(root *node) {
	c.pipelineValues()
	c.pipelineParameters(root)
	if setup := root.field("setup"); setup.key != nil && !c.legacy {
		c.setup = truthy(setup.value)
		if setup.value.kind != boolKind {
			c.wrongKind(setup.value, "setup", "Boolean")
		}
		if c.setup { // known from the text, whatever the caller says
			c.pipeline["in_setup"] = truth(true)
		}
		if c.setup && c.o.Continued {
			c.fail(setup.key, "CFG057", "a configuration that continues a pipeline may not be a setup configuration itself").Hint =
				"remove setup: true"
		}
	}
	c.findWorkflows(root)
	for _, w := range c.workflows {
		c.within("workflow", w.name, func() { c.expandWorkflow(w) })
		if c.stopped() {
			return
		}
	}
	for _, w := range c.workflows {
		if c.setup && w.triggers != nil {
			c.warn(w.triggers, "CFG905", "the workflow '%s' of a setup configuration has a schedule, which has no effect in the original", w.name)
		}
	}
	c.checkOrbs(root)
	if c.stopped() {
		return
	}
	c.nameJobs()
	for _, w := range c.workflows {
		c.within("workflow", w.name, func() { c.connect(w) })
	}
	if c.stopped() {
		return
	}
	if len(c.errs) > 0 { // the rest of the mistakes
		for _, w := range c.workflows {
			c.specs(w)
		}
		return
	}
	c.lint(root)
	c.print(root)
	if len(c.errs) == 0 && !c.dead {
		c.planned = c.plan()
	}
}

// stopped reports whether there is no point in going on.
func (c *compiler) stopped() bool {
	if c.ctx.Err() != nil {
		c.dead = true
	}
	return c.dead
}

// checkOrbs resolves the external orbs that nothing uses, since they are
// listed in the expanded text. One that is not there is no error then.
func (c *compiler) checkOrbs(root *node) {
	orbs := root.get("orbs")
	if orbs.isNull() || orbs.kind != mapKind || c.legacy {
		return
	}
	for _, f := range orbs.fields {
		if c.stopped() {
			return
		}
		if f.value.kind != stringKind || c.main.orbs[f.name()] != nil {
			continue
		}
		ref := c.orbRef(f.value, c.main)
		if ref == "" {
			continue
		}
		if !strings.Contains(c.text, f.name()+"/") {
			c.warn(f.key, "CFG904", "the orb '%s' is not used", f.name())
		}
		if _, known := c.resolved[ref]; known || c.o.Orbs == nil {
			continue
		}
		if resolved, _, err := c.o.Orbs.Orb(c.ctx, ref); err == nil && resolved != "" {
			c.resolved[ref] = resolved
		} else if err != nil {
			c.warn(f.value, "CFG911", "the orb '%s' cannot be had: %v", ref, err)
		}
	}
}
