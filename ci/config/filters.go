package config

import "strings"

// checkFilters reports mistakes in the filters of a job.
func (c *compiler) checkFilters(v *node) {
	if v.kind == stringKind { // an expression
		if _, ok := c.expression(v.text, &scope{space: c.main}, v, v.text); !ok && !c.legacy {
			c.fail(v, "CFG041", "filters: expected type: Mapping, or an expression like pipeline.git.branch == \"main\", found: %s", v.show())
		}
		return
	}
	if v.kind != mapKind {
		if v.kind != boolKind {
			c.wrongKind(v, "filters", "Mapping")
		}
		return
	}
	c.checkKeys(v, "filters", filterKeys, nil)
	for _, f := range v.fields {
		if f.value.isNull() {
			continue
		}
		if f.value.kind != mapKind {
			if f.value.kind == listKind || f.value.kind == stringKind {
				c.wrongKind(f.value, "filters/"+f.name(), "Mapping").Hint = "the names belong below only or ignore"
			} else {
				c.wrongKind(f.value, "filters/"+f.name(), "Mapping")
			}
			continue
		}
		c.checkKeys(f.value, "filters/"+f.name(), branchKeys, nil)
		for _, list := range f.value.fields {
			c.checkPatterns(list.value)
		}
	}
}

// checkPatterns reports regular expressions that cannot be read.
func (c *compiler) checkPatterns(v *node) {
	for _, p := range patternList(v) {
		if !p.isScalar() {
			c.wrongKind(p, "a branch or tag", "String")
		} else if expr, ok := slashed(p.text); ok {
			c.compilePattern(expr, p)
		}
	}
}

// patternList is the value of only or ignore: a text or a list of texts, in
// which nested lists (aliases) are flattened.
func patternList(v *node) []*node {
	if v.isNull() {
		return nil
	}
	if v.kind != listKind {
		return []*node{v}
	}
	var out []*node
	for _, item := range v.items {
		if item.kind == listKind {
			out = append(out, patternList(item)...)
		} else if !item.isNull() {
			out = append(out, item)
		}
	}
	return out
}

// slashed returns what stands between slashes, a regular expression.
func slashed(s string) (string, bool) {
	if len(s) >= 2 && s[0] == '/' && s[len(s)-1] == '/' {
		return s[1 : len(s)-1], true
	}
	return "", false
}

// any reports whether one of the names or expressions fits.
func (c *compiler) anyMatch(v *node, name string) bool {
	for _, p := range patternList(v) {
		if expr, ok := slashed(p.str()); ok {
			if c.match(expr, name, p) {
				return true
			}
		} else if p.str() == name {
			return true
		}
	}
	return false
}

// passes decides only and ignore for a name: only decides when it is there.
func (c *compiler) passes(rule *node, name string) bool {
	if only := rule.field("only"); only.key != nil && !only.value.isNull() {
		return c.anyMatch(only.value, name)
	}
	return !c.anyMatch(rule.get("ignore"), name)
}

// admits reports whether the filters let a job run for the branch or tag of
// this compile. On a tag a job runs only if its filters say so; branch filters
// do not count there.
func (c *compiler) admits(v *node) bool {
	if v != nil && v.kind == stringKind {
		holds, ok := c.expression(v.text, &scope{space: c.main}, v, v.text)
		return ok && truthy(holds)
	}
	if v != nil && v.kind == boolKind {
		return truthy(v)
	}
	if c.tag != "" {
		tags := v.get("tags")
		return !tags.isNull() && len(tags.fields) > 0 && c.passes(tags, c.tag)
	}
	return c.passes(v.get("branches"), c.branch)
}

// runs tells which jobs of a workflow are not filtered out. A job all of whose requirements are filtered out is out too.
func (c *compiler) runs(w *workflow) map[*call]bool {
	in := make(map[*call]bool, len(w.calls))
	var decide func(k *call) bool
	decide = func(k *call) bool {
		if runs, known := in[k]; known {
			return runs
		}
		runs := c.admits(k.filters)
		if runs && len(k.edges) > 0 {
			some := false
			for _, e := range k.edges {
				some = decide(e.call) || some
			}
			runs = some
		}
		in[k] = runs
		return runs
	}
	for _, k := range w.calls {
		decide(k)
	}
	return in
}

// texts returns names and expressions as written.
func texts(v *node) []string {
	var out []string
	for _, p := range patternList(v) {
		out = append(out, p.str())
	}
	return out
}

// branchesAdmit evaluates the deprecated branches key of a 2.0 job.
func (c *compiler) branchesAdmit(branches *node) bool {
	return branches.isNull() || branches.kind != mapKind || c.tag == "" && c.passes(branches, strings.TrimSpace(c.branch))
}
