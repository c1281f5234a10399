package config

import (
	"strconv"
)

// A kind says what a node is, by the rules of YAML 1.1.
type kind uint8

const (
	nullKind kind = iota
	boolKind
	intKind
	floatKind
	stringKind
	listKind
	mapKind
)

// A node is a value of a configuration. Nodes are immutable once loaded and
// are shared freely between the trees that use them.
type node struct {
	kind kind
	// template says that a scalar below, or the node itself, holds an
	// unescaped or escaped << that is still to be rendered.
	template bool
	// plain says that a scalar was written without quotes.
	plain bool
	// bound says that the value came through << >> as a whole.
	bound bool
	// size is the number of nodes in the tree, counting shared ones each time
	// they are reached.
	size int32
	line int32
	col  int32
	// depth is the number of levels of a loaded tree.
	depth uint16
	text  string  // canonical text of a scalar: "true", "-12", "3.1"
	src   *source // where line and col count; nil for made values
	*parts
}

// parts are what most scalars do not have. They are kept apart since scalars
// are by far the most frequent nodes.
type parts struct {
	items  []*node // of a list
	fields []field // of a map, in order, keys unique
	// raw is the text of a plain scalar that is not a string, as written.
	raw   string
	space *space // where an executor value is looked up, see bind
}

// noParts is shared by all nodes without parts, and never changed.
var noParts = &parts{}

// A whole is a node together with its parts, to make both at once.
type whole struct {
	node
	own parts
}

// scalar makes a node of a scalar.
func scalar(k kind, text string) *node {
	return &node{kind: k, text: text, size: 1, parts: noParts}
}

// A field is one entry of a map.
type field struct {
	key   *node
	value *node
}

// name is the key as text.
func (f field) name() string { return f.key.text }

// get returns the value under key, or nil.
func (n *node) get(key string) *node {
	if n == nil || n.kind != mapKind {
		return nil
	}
	for i := range n.fields {
		if n.fields[i].key.text == key {
			return n.fields[i].value
		}
	}
	return nil
}

// field returns the entry under key, or one of nils.
func (n *node) field(key string) field {
	if n != nil && n.kind == mapKind {
		for _, f := range n.fields {
			if f.key.text == key {
				return f
			}
		}
	}
	return field{}
}

// isNull reports whether there is no value: no node or a null one.
func (n *node) isNull() bool { return n == nil || n.kind == nullKind }

// isScalar reports whether the node is neither a list nor a map nor null.
func (n *node) isScalar() bool {
	return n != nil && n.kind >= boolKind && n.kind <= stringKind
}

// str returns the text of a scalar and "" for everything else.
func (n *node) str() string {
	if n.isScalar() {
		return n.text
	}
	return ""
}

// integer returns the value of an integer; false when it is none or too big.
func (n *node) integer() (int, bool) {
	if n == nil || n.kind != intKind {
		return 0, false
	}
	i, err := strconv.Atoi(n.text)
	return i, err == nil
}

// typeName is the word of the language for the node's type.
func (n *node) typeName() string {
	if n == nil {
		return "null"
	}
	switch n.kind {
	case boolKind:
		return "boolean"
	case intKind:
		return "integer"
	case floatKind:
		return "number"
	case stringKind:
		return "string"
	case listKind:
		return "list"
	case mapKind:
		return "map"
	}
	return "null"
}

// shape is the schema's word for the kind of node.
func (n *node) shape() string {
	if n == nil {
		return "Null"
	}
	switch n.kind {
	case boolKind:
		return "Boolean"
	case intKind:
		return "Integer"
	case floatKind:
		return "Number"
	case stringKind:
		return "String"
	case listKind:
		return "Sequence"
	case mapKind:
		return "Mapping"
	}
	return "Null"
}

// show is the value as an error message prints it.
func (n *node) show() string {
	switch {
	case n == nil || n.kind == nullKind:
		return "null"
	case n.kind == stringKind:
		return strconv.Quote(clip(n.text, 80))
	case n.kind == listKind:
		return "[...]"
	case n.kind == mapKind:
		return "{...}"
	}
	return n.text
}

// clip shortens a text for a message.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && s[max]&0xC0 == 0x80 {
		max--
	}
	return s[:max] + "..."
}

// at gives a made node the place of another.
func (n *node) at(place *node) *node {
	if place != nil {
		n.src, n.line, n.col = place.src, place.line, place.col
	}
	return n
}

// text makes a string node at the place of another.
func text(s string, place *node) *node {
	return scalar(stringKind, s).at(place)
}

// list makes a list node at the place of another.
func list(items []*node, place *node) *node {
	w := &whole{node{kind: listKind}, parts{items: items}}
	w.parts = &w.own
	w.sum()
	return w.at(place)
}

// mapping makes a map node at the place of another.
func mapping(fields []field, place *node) *node {
	w := &whole{node{kind: mapKind}, parts{fields: fields}}
	w.parts = &w.own
	w.sum()
	return w.at(place)
}

// maxSize is where node sizes stop counting.
const maxSize = 1 << 30

// sum computes size and template of a list or map from its parts.
func (n *node) sum() {
	size := int64(1)
	for _, v := range n.items {
		size += int64(v.size)
		n.template = n.template || v.template
	}
	for i := range n.fields {
		f := &n.fields[i]
		size += int64(f.key.size) + int64(f.value.size)
		n.template = n.template || f.value.template || f.key.template
	}
	n.size = int32(min(size, maxSize))
}

// equal reports whether two values are the same: type, text and structure.
// The order of map keys does not matter.
func equal(a, b *node) bool {
	if a == b {
		return true
	}
	if a.isNull() || b.isNull() {
		return a.isNull() && b.isNull()
	}
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case listKind:
		if len(a.items) != len(b.items) {
			return false
		}
		for i := range a.items {
			if !equal(a.items[i], b.items[i]) {
				return false
			}
		}
		return true
	case mapKind:
		if len(a.fields) != len(b.fields) {
			return false
		}
		find := b.field
		if len(b.fields) > 16 {
			index := make(map[string]field, len(b.fields))
			for _, f := range b.fields {
				index[f.name()] = f
			}
			find = func(key string) field { return index[key] }
		}
		for _, f := range a.fields {
			other := find(f.name())
			if other.key == nil || !equal(f.value, other.value) {
				return false
			}
		}
		return true
	}
	return a.text == b.text
}
