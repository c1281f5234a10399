package config

import (
	"slices"
	"strings"
)

// matrix expands the matrix of an entry into its cells: the product of all
// values without those that are excluded.
func (c *compiler) matrix(name string, m, body *node) (cells []map[string]*node, alias string, ok bool) {
	if m.kind != mapKind {
		c.wrongKind(m, "matrix", "Mapping")
		return nil, "", false
	}
	before := c.failures
	sc := &scope{space: c.main}
	c.checkKeys(m, "matrix", matrixKeys, nil)
	if a := c.expand(m.get("alias"), sc); !a.isNull() {
		if alias = a.str(); alias == "" {
			c.wrongKind(a, "matrix/alias", "String")
		}
	}
	ps := m.field("parameters")
	if ps.key == nil || ps.value.isNull() {
		c.fail(m, "CFG011", "required key [parameters] not found in matrix")
		return nil, "", false
	}
	if ps.value.kind != mapKind {
		c.wrongKind(ps.value, "matrix/parameters", "Mapping")
		return nil, "", false
	}
	cells = c.product(ps.value, sc)
	if x := m.get("exclude"); !x.isNull() {
		cells = c.exclude(cells, c.expand(x, sc))
	}
	return cells, alias, c.failures == before
}

// product combines the values of all parameters. The one that comes last in
// the source changes fastest.
func (c *compiler) product(ps *node, sc *scope) []map[string]*node {
	cells := []map[string]*node{{}}
	for _, f := range ps.fields {
		v := c.expand(f.value, sc)
		values := []*node{v}
		switch {
		case v.isNull():
			c.warn(f.key, "CFG909", "the parameter '%s' of the matrix has no values, so nothing runs", clip(f.name(), 60))
			return nil
		case v.kind == listKind:
			values = v.items
		}
		if len(cells)*len(values) > c.limits.Matrix {
			c.abort(f.key, "CFG003", "the matrix has more than %d cells, the limit called 'matrix'", c.limits.Matrix)
			return nil
		}
		next := make([]map[string]*node, 0, len(cells)*len(values))
		for _, cell := range cells {
			for _, value := range values {
				more := make(map[string]*node, len(cell)+1)
				for k, v := range cell {
					more[k] = v
				}
				more[f.name()] = value
				next = append(next, more)
			}
		}
		cells = next
	}
	return cells
}

// exclude drops the cells that one of the exclusions describes.
func (c *compiler) exclude(cells []map[string]*node, x *node) []map[string]*node {
	if x.kind != listKind {
		c.wrongKind(x, "matrix/exclude", "Sequence")
		return cells
	}
	for _, e := range x.items {
		if e.isNull() || e.kind != mapKind || len(e.fields) == 0 {
			c.wrongKind(e, "an entry of matrix/exclude", "Mapping")
			continue
		}
		for _, f := range e.fields {
			if len(cells) > 0 && cells[0][f.name()] == nil {
				known := keys(cells[0])
				c.fail(f.key, "CFG054", "the matrix has no parameter '%s' to exclude", clip(f.name(), 60)).Hint = suggest(f.name(), known, "")
				return cells
			}
		}
		cells = slices.DeleteFunc(cells, func(cell map[string]*node) bool {
			for _, f := range e.fields {
				v := cell[f.name()]
				if !equal(v, f.value) && !(v.isScalar() && f.value.isScalar() && v.text == f.value.text) {
					return false
				}
			}
			return true
		})
	}
	return cells
}

// cellSuffix is what a cell adds to the name of its job: its values, in the
// order of the parameters' names.
func cellSuffix(values map[string]*node) string {
	var b strings.Builder
	for _, name := range keys(values) {
		v := values[name]
		b.WriteByte('-')
		switch {
		case v.isScalar():
			b.WriteString(v.text)
		case v.kind == mapKind:
			if n, _, ok := executorCall(v); ok {
				b.WriteString(n)
			}
		}
	}
	return b.String()
}

// noteMatrix remembers a matrix without cells, so that requiring it is no
// mistake.
func (w *workflow) noteMatrix(alias string, cells int) {
	if cells > 0 {
		return
	}
	if w.empty == nil {
		w.empty = make(map[string]bool)
	}
	w.empty[alias] = true
}
