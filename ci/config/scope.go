package config

import (
	"sort"
	"strings"
)

// A scope is what << >> can name at one place. Its space is where commands,
// executors and jobs are looked up there.
type scope struct {
	space *space
	// params are the parameters of the innermost command, job or executor; nil
	// outside of one.
	params map[string]*node
	// matrix are the values of one cell of a matrix; nil outside of one.
	matrix map[string]*node
}

// lookup returns the value of a dotted name, or reports why there is none.
func (c *compiler) lookup(name string, sc *scope, at *node, raw string) (*node, bool) {
	group, rest, _ := strings.Cut(name, ".")
	switch group {
	case "parameters":
		if v, ok := sc.params[rest]; ok {
			return v, true
		}
		e := c.fail(c.locate(at, raw), "CFG034", "Arguments referenced without declared parameters: %s", name)
		e.Hint = suggest(rest, keys(sc.params), "parameters.")
		if _, ok := c.params[rest]; ok && !sc.space.orb {
			e.Hint = "did you mean pipeline.parameters." + rest + "?"
		} else if e.Hint == "" && len(sc.params) == 0 {
			e.Hint = "no parameters are declared here; write \\<< for a literal <<"
		}
		return nil, false
	case "matrix":
		if v, ok := sc.matrix[rest]; ok {
			return v, true
		}
		e := c.fail(c.locate(at, raw), "CFG034", "Unknown variable: %s", name)
		e.Hint = suggest(rest, keys(sc.matrix), "matrix.")
		if sc.matrix == nil {
			e.Hint = "matrix values are known inside a job of a workflow that has a matrix"
		}
		return nil, false
	case "pipeline":
		return c.pipelineValue(rest, sc, at, raw)
	}
	e := c.fail(c.locate(at, raw), "CFG034", "Unknown variable: %s", clip(name, 80))
	e.Hint = "only parameters.*, pipeline.* and matrix.* are known; write \\<< for a literal <<"
	if _, ok := sc.params[name]; ok {
		e.Hint = "did you mean parameters." + name + "?"
	}
	return nil, false
}

// keys returns the sorted keys of a map.
func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// expand replaces all tags in a value and what is below it. What holds no tag
// is returned as it is, not copied.
func (c *compiler) expand(n *node, sc *scope) *node {
	if n == nil || !n.template || c.legacy || c.dead {
		return n
	}
	switch n.kind {
	case stringKind:
		return c.render(n, sc)
	case listKind:
		items := make([]*node, len(n.items))
		for i, v := range n.items {
			items[i] = c.expand(v, sc)
		}
		out := list(items, n)
		out.template = false
		return out
	case mapKind:
		fields := make([]field, len(n.fields))
		for i, f := range n.fields {
			fields[i] = field{c.key(f.key, sc), c.expand(f.value, sc)}
		}
		out := mapping(fields, n)
		out.template = false
		return out
	}
	return n
}

// key expands the key of a map, which stays a text whatever it names.
func (c *compiler) key(k *node, sc *scope) *node {
	if !k.template || c.legacy {
		return k
	}
	v := c.render(k, sc)
	if v.kind != stringKind {
		return text(c.textOf(v, k), k)
	}
	return v
}

// render expands one scalar. A text that is nothing but one tag becomes the
// value itself, type and all; otherwise the values are put in as text.
func (c *compiler) render(n *node, sc *scope) *node {
	tokens, open := tokenize(n.text)
	c.work(len(n.text)/16 + 8*len(tokens))
	if open != "" {
		e := c.fail(c.locate(n, clip(open, 40)), "CFG036", "Unclosed '<<' tag\n('<<' must be escaped as '\\<<' in config v2.1+)")
		e.Hint = "write \\<< where the shell is to see <<; in double quotes \"\\\\<<\""
		return text("", n)
	}
	if tag, ok := onlyTag(tokens); ok {
		v, ok := c.value(tag, sc, n)
		if !ok {
			return scalar(nullKind, "").at(n)
		}
		if v.kind == boolKind {
			flag := *v
			flag.bound = true
			return flag.at(n)
		}
		return v
	}
	var b strings.Builder
	c.sections(tokens, sc, n, &b)
	c.grown += b.Len()
	return text(b.String(), n)
}

// value evaluates the inside of a tag.
func (c *compiler) value(tag token, sc *scope, at *node) (*node, bool) {
	if isName(tag.text) {
		return c.lookup(tag.text, sc, at, tag.raw)
	}
	if v, ok := c.expression(tag.text, sc, at, tag.raw); ok {
		return v, v != nil
	}
	e := c.fail(c.locate(at, clip(tag.raw, 40)), "CFG034", "Unknown variable: %s", clip(tag.text, 80))
	e.Hint = "only parameters.*, pipeline.* and matrix.* are known; write \\<< for a literal <<"
	return nil, false
}

// sections writes the text of the tokens, leaving out the sections whose value
// says so.
func (c *compiler) sections(tokens []token, sc *scope, at *node, b *strings.Builder) {
	type section struct {
		token
		shown bool
	}
	var stack []section
	shown := true
	for _, t := range tokens {
		switch t.kind {
		case literalToken:
			if shown {
				b.WriteString(t.text)
			}
		case valueToken:
			if shown {
				if v, ok := c.value(t, sc, at); ok {
					b.WriteString(c.textOf(v, at))
					if c.grown+b.Len() > 2*c.limits.Expanded {
						c.abort(at, "CFG003", "texts grow to more than %d bytes, twice the limit called 'expanded'", 2*c.limits.Expanded)
						return
					}
				}
			}
		case openToken, invertedToken:
			stack = append(stack, section{t, shown})
			if shown {
				v, ok := c.value(t, sc, at)
				shown = ok && truthy(v) == (t.kind == openToken)
			}
		case closeToken:
			if len(stack) == 0 || stack[len(stack)-1].text != t.text {
				e := c.fail(c.locate(at, t.raw), "CFG036", "the section '%s' ends here but does not begin", clip(t.text, 60))
				if len(stack) > 0 {
					e.Hint = "expected <</ " + stack[len(stack)-1].text + " >>"
				}
				return
			}
			shown = stack[len(stack)-1].shown
			stack = stack[:len(stack)-1]
		}
	}
	if len(stack) > 0 {
		s := stack[len(stack)-1]
		e := c.fail(c.locate(at, s.raw), "CFG036", "the section '%s' has no end", clip(s.text, 60))
		e.Hint = "expected <</ " + s.text + " >>"
	}
}

// textOf is a value as it appears inside a text.
func (c *compiler) textOf(v, at *node) string {
	switch {
	case v.isNull():
		return ""
	case v.kind == mapKind && v.get("name").str() != "": // an executor
		return v.get("name").str()
	case v.kind == mapKind, v.kind == listKind:
		c.fail(at, "CFG032", "a %s cannot be put into a text", v.typeName())
		return ""
	}
	return v.text
}
