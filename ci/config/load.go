package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// load reads the text of a source. It returns nil when it reported an error.
func (l *loader) load() (root *node) {
	text := l.src.text
	if len(text) > l.limits.Source {
		l.report(l.limit("CFG003", "source", l.limits.Source, "the file has %d bytes, more than the limit of %d", len(text), l.limits.Source))
		return nil
	}
	if d := dense(text); d > l.limits.Nodes {
		l.report(l.limit("CFG003", "nodes", l.limits.Nodes, "the file may hold %d values, more than the limit of %d", d, l.limits.Nodes))
		return nil
	}
	doc, err := parse([]byte(text))
	if err != nil {
		l.report(l.syntax(err))
		return nil
	}
	if doc == nil || len(doc.Content) == 0 {
		return l.new(1, 1)
	}
	l.anchors = make(map[any]*node)
	root = l.node(doc.Content[0], 0)
	if l.full {
		return nil
	}
	return root
}

// parse reads one YAML document. A parser that gives up by panic is an error.
func parse(text []byte) (doc *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(text))
	doc = new(yaml.Node)
	if err := d.Decode(doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	var next yaml.Node
	err = d.Decode(&next)
	switch {
	case errors.Is(err, io.EOF):
		return doc, nil
	case err != nil:
		return nil, err
	case len(next.Content) > 0 && next.Content[0].Tag == "!!null":
		return doc, nil
	}
	return nil, fmt.Errorf("yaml: line %d: expected a single document, found another one", next.Line)
}

// node converts a YAML node.
func (l *loader) node(y *yaml.Node, depth int) *node {
	if l.full {
		return l.new(y.Line, y.Column)
	}
	if depth > l.limits.Depth {
		l.stop(y, "CFG003", "values are nested more than %d deep, the limit", l.limits.Depth)
		return l.new(y.Line, y.Column)
	}
	if y.Kind == yaml.AliasNode {
		return l.alias(y, depth)
	}
	if y.Anchor != "" {
		l.anchors[y] = nil
	}
	var n *node
	switch y.Kind {
	case yaml.ScalarNode:
		n = l.scalar(y)
	case yaml.SequenceNode:
		n = l.list(y, depth)
	default:
		n = l.mapping(y, depth)
	}
	if y.Anchor != "" {
		l.anchors[y] = n
	}
	l.count(y, 1)
	return n
}

// alias converts *name: it is the anchor's node itself.
func (l *loader) alias(y *yaml.Node, depth int) *node {
	n, seen := l.anchors[y.Alias]
	switch {
	case seen && n == nil:
		l.stop(y, "CFG004", "the anchor '%s' contains itself", y.Value)
		return l.new(y.Line, y.Column)
	case !seen: // inside a merge that was skipped
		return l.node(y.Alias, depth+1)
	}
	if depth+int(n.depth) > l.limits.Depth {
		l.stop(y, "CFG003", "values are nested more than %d deep, the limit", l.limits.Depth)
		return l.new(y.Line, y.Column)
	}
	l.count(y, int64(n.size))
	return n
}

// count adds to the number of values, aliases resolved.
func (l *loader) count(y *yaml.Node, n int64) {
	l.nodes += n
	if l.nodes > int64(l.limits.Nodes) {
		l.stop(y, "CFG003", "the file expands to more than %d values, the limit; are aliases nested?", l.limits.Nodes)
	}
}

// stop reports an error after which nothing else is worth reading.
func (l *loader) stop(y *yaml.Node, code, format string, args ...any) {
	if !l.full {
		l.full = true
		l.report(&Error{Code: code, src: l.src, Line: y.Line, Col: y.Column, Message: fmt.Sprintf(format, args...)})
	}
}

// limit makes the error for a text that is too big as a whole.
func (l *loader) limit(code, name string, _ int, format string, args ...any) *Error {
	return &Error{
		Code: code, src: l.src, Line: 1, Col: 1, Message: fmt.Sprintf(format, args...),
		Hint: "the limit is called '" + name + "'; the installation may raise it",
	}
}

// scalar converts a scalar by the rules of YAML 1.1.
func (l *loader) scalar(y *yaml.Node) *node {
	n := l.new(y.Line, y.Column)
	n.depth = 1
	if y.Style&yaml.TaggedStyle != 0 {
		l.tagged(n, y)
	} else if y.Style == 0 {
		n.plain = true
		n.kind, n.text = resolve(y.Value)
		if n.kind != stringKind {
			n.parts = l.parts()
			n.raw = y.Value
		}
	} else {
		n.kind, n.text = stringKind, y.Value
	}
	n.template = n.kind == stringKind && strings.Contains(n.text, "<<")
	return n
}

// tagged converts a scalar with a tag like !!str.
func (l *loader) tagged(n *node, y *yaml.Node) {
	n.kind, n.text = stringKind, y.Value
	want := stringKind
	switch y.Tag {
	case "!!str", "!!binary", "!!timestamp":
		return
	case "!!int":
		want = intKind
	case "!!float":
		want = floatKind
	case "!!bool":
		want = boolKind
	case "!!null":
		want = nullKind
	}
	k, text := resolve(y.Value)
	if want == floatKind && k == intKind {
		k, text = floatKind, text+".0"
	}
	if k != want || want == stringKind {
		l.report(&Error{Code: "CFG002", src: l.src, Line: y.Line, Col: y.Column,
			Message: fmt.Sprintf("the tag %s does not fit the value %q", y.Tag, clip(y.Value, 40))})
		return
	}
	n.kind, n.text, n.parts = k, text, &parts{raw: y.Value}
}

// list converts a sequence.
func (l *loader) list(y *yaml.Node, depth int) *node {
	n := l.new(y.Line, y.Column)
	n.kind = listKind
	n.parts = l.parts()
	n.items = make([]*node, len(y.Content))
	for i, c := range y.Content {
		n.items[i] = l.node(c, depth+1)
		n.depth = max(n.depth, n.items[i].depth)
	}
	n.depth++
	n.sum()
	return n
}

// mapping converts a mapping: merge keys are resolved, of two equal keys the
// last one counts.
func (l *loader) mapping(y *yaml.Node, depth int) *node {
	n := l.new(y.Line, y.Column)
	n.kind = mapKind
	m := merger{l: l, fields: make([]field, 0, len(y.Content)/2)}
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			m.merge(v, depth+1)
			continue
		}
		key := l.node(k, depth+1)
		value := l.node(v, depth+1)
		switch {
		case key.kind == listKind || key.kind == mapKind:
			l.report(&Error{Code: "CFG002", src: l.src, Line: k.Line, Col: k.Column,
				Message: "a key has to be a text, found: " + key.shape()})
			continue
		case key.kind != stringKind: // keys are texts: on, 1.10 and null are kept as written
			text := *key
			text.text = k.Value
			key = &text
		}
		n.depth = max(n.depth, value.depth)
		if m.add(key, value, true) {
			l.warn(&Error{Code: "CFG901", src: l.src, Line: k.Line, Col: k.Column,
				Message: fmt.Sprintf("the key '%s' is given twice; the last value counts", clip(key.text, 60))})
		}
	}
	n.parts = l.parts()
	n.fields = m.fields
	n.depth++
	n.depth = max(n.depth, m.depth+1)
	n.sum()
	return n
}

// A merger collects the fields of one mapping.
type merger struct {
	l      *loader
	fields []field
	own    []bool         // whether a field is the mapping's own, not merged
	index  map[string]int // once there are many fields
	depth  uint16
}

// add puts a field in; an own one replaces what is there, a merged one does
// not. It reports whether an own one was replaced.
func (m *merger) add(key, value *node, own bool) (twice bool) {
	at := -1
	if m.index != nil {
		if i, ok := m.index[key.text]; ok {
			at = i
		}
	} else {
		for i := range m.fields {
			if m.fields[i].key.text == key.text {
				at = i
				break
			}
		}
	}
	if at >= 0 {
		if own {
			twice = m.own[at]
			m.fields[at], m.own[at] = field{key, value}, true
		}
		return twice
	}
	m.fields = append(m.fields, field{key, value})
	m.own = append(m.own, own)
	if m.index != nil {
		m.index[key.text] = len(m.fields) - 1
	} else if len(m.fields) > 12 {
		m.index = make(map[string]int, 32)
		for i, f := range m.fields {
			m.index[f.key.text] = i
		}
	}
	return false
}

// merge adds the fields of a merge key's value: a map or a list of maps.
func (m *merger) merge(y *yaml.Node, depth int) {
	v := m.l.node(y, depth)
	maps := []*node{v}
	if v.kind == listKind {
		maps = v.items
	}
	for _, v := range maps {
		if v.kind != mapKind {
			m.l.report(&Error{Code: "CFG002", src: m.l.src, Line: y.Line, Col: y.Column,
				Message: "the value of a merge key (<<) has to be a map or a list of maps, found: " + v.shape()})
			return
		}
		m.depth = max(m.depth, v.depth)
		for _, f := range v.fields {
			m.add(f.key, f.value, false)
		}
	}
}
