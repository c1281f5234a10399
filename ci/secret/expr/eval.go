package expr

import (
	"regexp"
	"strings"
)

// A node is a part of a parsed expression.
type node interface {
	// eval returns the value: a string, a bool or an int64.
	eval(env map[string]any) (any, error)
	// typ returns the type of the value as typeOf does, "" when only
	// evaluation can tell.
	typ() string
}

// The types of the language, in the words of messages.
const (
	text    = "a text"
	number  = "a number"
	boolean = "a boolean"
)

func typeOf(v any) string {
	switch v.(type) {
	case string:
		return text
	case int64:
		return number
	}
	return boolean
}

// A literal is a value that stands in the expression.
type literal struct{ value any }

func (l literal) eval(map[string]any) (any, error) { return l.value, nil }
func (l literal) typ() string                      { return typeOf(l.value) }

// A name is an identifier.
type name struct {
	name string
	col  int
}

func (n name) eval(env map[string]any) (any, error) { return env[n.name], nil }
func (n name) typ() string                          { return "" }

// A group is an expression in parentheses.
type group struct{ x node }

func (g group) eval(env map[string]any) (any, error) { return g.x.eval(env) }
func (g group) typ() string                          { return g.x.typ() }

// A not is a negation.
type not struct{ x node }

func (n not) eval(env map[string]any) (any, error) {
	v, err := n.x.eval(env)
	return !truthy(v), err
}
func (n not) typ() string { return boolean }

// A match applies a regular expression to a whole text.
type match struct {
	left node
	re   *regexp.Regexp
	col  int
}

func (m match) eval(env map[string]any) (any, error) {
	v, err := m.left.eval(env)
	if err != nil {
		return nil, err
	}
	s, ok := v.(string)
	if !ok {
		return nil, denied(m.col, "matches needs a text, not %s", typeOf(v))
	}
	return m.re.MatchString(s), nil
}
func (m match) typ() string { return boolean }

// A binary is an operator between two operands.
type binary struct {
	op          string
	left, right node
	col         int
}

func (b binary) typ() string { return boolean }

// needs returns the type that both operands must have, "" if any will do.
func (b binary) needs() string {
	switch b.op {
	case "starts-with":
		return text
	case ">=", ">", "<=", "<":
		return number
	}
	return ""
}

func (b binary) eval(env map[string]any) (any, error) {
	v, err := b.left.eval(env)
	if err != nil {
		return nil, err
	}
	switch { // these two look at the right operand only if they have to
	case b.op == "and" && !truthy(v):
		return false, nil
	case b.op == "or" && truthy(v):
		return true, nil
	}
	w, err := b.right.eval(env)
	if err != nil {
		return nil, err
	}
	if need := b.needs(); need != "" {
		for _, side := range []any{v, w} {
			if got := typeOf(side); got != need {
				return nil, denied(b.col, "%s needs %s on both sides, one is %s", b.op, need, got)
			}
		}
	}
	switch b.op {
	case "and", "or":
		return truthy(w), nil
	case "==":
		return v == w, nil
	case "!=":
		return v != w, nil
	case "starts-with":
		return strings.HasPrefix(v.(string), w.(string)), nil
	}
	return order(b.op, v.(int64), w.(int64)), nil
}

// order compares two numbers.
func order(op string, v, w int64) bool {
	switch op {
	case ">=":
		return v >= w
	case ">":
		return v > w
	case "<=":
		return v <= w
	}
	return v < w
}
