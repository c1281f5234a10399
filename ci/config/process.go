package config

import (
	"fmt"
	"strings"
)

// jobIndent is where the body of a job stands in the expanded text.
const jobIndent = 4

// printed is the text of a job's body; equal bodies have equal texts.
func (c *compiler) printed(body *node) string {
	p := printer{b: c.scratch[:0], max: c.limits.Expanded}
	p.fields(body.fields, jobIndent, false)
	c.scratch = p.b
	c.size += len(p.b)
	if c.size > c.limits.Expanded || p.full() {
		c.abort(body, "CFG003", "the expanded configuration has more than %d bytes, the limit called 'expanded'", c.limits.Expanded)
	}
	return string(p.b)
}

// print writes the expanded configuration.
func (c *compiler) print(root *node) {
	p := printer{max: 2 * c.limits.Expanded}
	if c.legacy {
		p.b = make([]byte, 0, len(c.text)*5/4)
		fields := make([]field, 0, len(root.fields))
		for _, f := range root.fields {
			if f.name() == "version" {
				f.value = scalar(intKind, "2")
			}
			fields = append(fields, f)
		}
		p.fields(fields, 0, false)
	} else {
		p.b = make([]byte, 0, c.size+64*c.cells+1024)
		p.b = append(p.b, "version: 2\n"...)
		if len(c.jobs) == 0 {
			p.b = append(p.b, "jobs: {}\n"...)
		} else {
			p.b = append(p.b, "jobs:\n"...)
		}
		for _, j := range c.jobs {
			p.indent(2)
			p.flow(j.name)
			if j.text == "" {
				p.b = append(p.b, ": {}\n"...)
				continue
			}
			p.b = append(p.b, ":\n"...)
			p.b = append(p.b, j.text...)
		}
		c.printWorkflows(&p, root)
	}
	if p.full() {
		c.abort(root, "CFG003", "the expanded configuration has more than %d bytes, the limit called 'expanded'", c.limits.Expanded)
	}
	c.expanded = string(p.b)
}

// printWorkflows writes the workflows. Their version stands first when the
// source has it first, else last.
func (c *compiler) printWorkflows(p *printer, root *node) {
	version := field{text("version", nil), scalar(intKind, "2")}
	var fields []field
	ws := root.get("workflows")
	first := ws != nil && ws.kind == mapKind && len(ws.fields) > 0 && ws.fields[0].name() == "version"
	if first {
		fields = append(fields, version)
	}
	for _, w := range c.workflows {
		fields = append(fields, field{w.key.named(w.name), c.workflowNode(w)})
	}
	if !first {
		fields = append(fields, version)
	}
	p.b = append(p.b, "workflows:\n"...)
	p.fields(fields, 2, false)
}

// named returns the key node when it has that text, else a text node.
func (n *node) named(name string) *node {
	if n != nil && n.text == name {
		return n
	}
	return text(name, n)
}

// workflowNode is a workflow as it is printed.
func (c *compiler) workflowNode(w *workflow) *node {
	var jobs []*node
	for _, k := range w.calls {
		jobs = append(jobs, k.entry())
	}
	fields := []field{{text("jobs", nil), list(jobs, nil)}}
	if w.triggers != nil {
		fields = append([]field{{text("triggers", nil), w.triggers}}, fields...)
	}
	if m := w.body.get("max_auto_reruns"); !m.isNull() {
		fields = append(fields, field{text("max_auto_reruns", nil), c.expand(m, &scope{space: c.main})})
	}
	return mapping(fields, nil)
}

// entry is a job of a workflow as it is printed: a text when there is nothing
// to say about it.
func (k *call) entry() *node {
	fields := make([]field, 0, len(k.keep)+1)
	if k.requires != nil {
		names := make([]*node, len(k.edges))
		for i, e := range k.edges {
			names[i] = text(e.call.name, nil)
			if e.statuses != nil {
				names[i] = mapping([]field{{names[i], e.statuses}}, nil)
			}
		}
		fields = append(fields, field{text("requires", nil), list(names, nil)})
	}
	fields = append(fields, k.keep...)
	name := text(k.name, nil)
	if len(fields) == 0 {
		return name
	}
	return mapping([]field{{name, mapping(fields, nil)}}, nil)
}

// header is a comment line for each orb that was resolved.
func (c *compiler) header() string {
	orbs := c.main.root.get("orbs")
	if c.legacy || orbs.isNull() || orbs.kind != mapKind {
		return ""
	}
	var b strings.Builder
	for _, f := range orbs.fields {
		ref := ""
		if o := c.main.orbs[f.name()]; o != nil {
			ref = o.ref
		} else if f.value.kind == stringKind {
			ref = c.orbRef(f.value, c.main)
		}
		if resolved := c.resolved[ref]; resolved != "" {
			fmt.Fprintf(&b, "# Orb '%s' resolved to '%s'\n", ref, clean(resolved))
		}
	}
	return b.String()
}

// original is the source as a comment.
func original(source string) string {
	var b strings.Builder
	b.Grow(len(source) + len(source)/8)
	b.WriteString("\n# Original config.yml file:\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(source, "\n"), "\n") {
		b.WriteString("# ")
		line = strings.TrimRight(line, "\r")
		if strings.ContainsAny(line, `\"`) {
			line = strings.ReplaceAll(strings.ReplaceAll(line, `\`, `\\`), `"`, `\"`)
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
