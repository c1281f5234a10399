package config

import (
	"math/big"
	"strings"
)

// An expression is the short form of a logic statement, as in
//
//	when: pipeline.git.branch == "main" and not pipeline.parameters.quick
//
// It stands in when, unless and filters, and between << and >>. and and or
// return one of their operands.
type expression struct {
	c    *compiler
	sc   *scope
	at   *node
	raw  string
	in   string
	pos  int
	word string // the current token; "" at the end
	quot bool   // the token is a quoted text
	bad  string // the first mistake
	deep int
	// dry only parses: values are not looked up.
	dry bool
}

// bareExpression decides a text without << >> that is an expression. ok is
// false when the text is none; such a text is a literal.
func (c *compiler) bareExpression(n *node, sc *scope) (holds, ok bool) {
	if c.legacy || !strings.Contains(n.text, "pipeline.") {
		return false, false
	}
	v, ok := c.expression(n.text, sc, n, n.text)
	if !ok {
		return false, false
	}
	return truthy(v), true
}

// expression evaluates a text; ok is false when it does not have the form of
// one. The value is nil after a mistake that has been reported.
func (c *compiler) expression(s string, sc *scope, at *node, raw string) (v *node, ok bool) {
	if len(s) > 4096 {
		return nil, false
	}
	x := expression{c: c, sc: sc, at: at, raw: raw, in: s, dry: true}
	x.next()
	x.or()
	if x.bad != "" || x.word != "" || x.quot {
		return nil, false
	}
	before := c.failures
	x = expression{c: c, sc: sc, at: at, raw: raw, in: s}
	x.next()
	v = x.or()
	if c.failures > before {
		return nil, true
	}
	return v, true
}

// next reads a token.
func (x *expression) next() {
	for x.pos < len(x.in) && strings.IndexByte(" \t\r\n", x.in[x.pos]) >= 0 {
		x.pos++
	}
	x.word, x.quot = "", false
	if x.pos == len(x.in) {
		return
	}
	start := x.pos
	ch := x.in[x.pos]
	switch {
	case ch == '"' || ch == '\'':
		x.quoted(ch)
		return
	case strings.IndexByte("()", ch) >= 0:
		x.pos++
	case strings.IndexByte("=!<>", ch) >= 0:
		x.pos++
		if x.pos < len(x.in) && x.in[x.pos] == '=' {
			x.pos++
		}
	default:
		for x.pos < len(x.in) && strings.IndexByte(" \t\r\n()=!<>\"'", x.in[x.pos]) < 0 {
			x.pos++
		}
	}
	x.word = x.in[start:x.pos]
}

// quoted reads a text in quotes.
func (x *expression) quoted(q byte) {
	var b strings.Builder
	for x.pos++; x.pos < len(x.in) && x.in[x.pos] != q; x.pos++ {
		if x.in[x.pos] == '\\' && x.pos+1 < len(x.in) && (x.in[x.pos+1] == q || x.in[x.pos+1] == '\\') {
			x.pos++
		}
		b.WriteByte(x.in[x.pos])
	}
	if x.pos == len(x.in) {
		x.bad = "a text has no closing quote"
		return
	}
	x.pos++
	x.word, x.quot = b.String(), true
}

// is consumes the current token if it is the given word.
func (x *expression) is(word string) bool {
	if x.quot || x.word != word {
		return false
	}
	x.next()
	return true
}

func (x *expression) or() *node {
	v := x.and()
	for x.is("or") {
		if w := x.and(); !truthy(v) {
			v = w
		}
	}
	return v
}

func (x *expression) and() *node {
	v := x.not()
	for x.is("and") {
		if w := x.not(); truthy(v) {
			v = w
		}
	}
	return v
}

func (x *expression) not() *node {
	if x.deep++; x.deep > maxLogic {
		x.bad = "nested too deeply"
		return nil
	}
	defer func() { x.deep-- }()
	if x.is("not") {
		return truth(!truthy(x.not()))
	}
	return x.comparison()
}

// truth is a boolean as a value.
func truth(b bool) *node {
	if b {
		return scalar(boolKind, "true")
	}
	return scalar(boolKind, "false")
}

func (x *expression) comparison() *node {
	v := x.primary()
	if x.quot {
		x.bad = "an operator is missing"
		return v
	}
	op := x.word
	switch op {
	case "==", "!=", "<", "<=", ">", ">=", "starts-with":
		x.next()
		return x.compare(op, v, x.primary())
	case "matches":
		return truth(x.matches(v))
	}
	return v
}

// matches reads the /regular expression/ behind the operator and applies it.
func (x *expression) matches(v *node) bool {
	for x.pos < len(x.in) && (x.in[x.pos] == ' ' || x.in[x.pos] == '\t') {
		x.pos++
	}
	if x.pos == len(x.in) || x.in[x.pos] != '/' {
		x.bad = "matches needs a /regular expression/"
		return false
	}
	start := x.pos + 1
	for x.pos++; x.pos < len(x.in) && x.in[x.pos] != '/'; x.pos++ {
		if x.in[x.pos] == '\\' {
			x.pos++
		}
	}
	if x.pos >= len(x.in) {
		x.bad = "the regular expression has no end"
		return false
	}
	pattern := strings.ReplaceAll(x.in[start:x.pos], `\/`, "/")
	x.pos++
	x.next()
	return !x.dry && v != nil && v.kind == stringKind && x.c.match(pattern, v.text, x.at)
}

func (x *expression) compare(op string, a, b *node) *node {
	if x.dry {
		return truth(false)
	}
	switch op {
	case "==":
		return truth(x.c.same(a, b, x.sc))
	case "!=":
		return truth(!x.c.same(a, b, x.sc))
	case "starts-with":
		return truth(a.isScalar() && b.isScalar() && strings.HasPrefix(a.text, b.text))
	}
	order := 0
	if p, q := number(a), number(b); p != nil && q != nil {
		order = p.Cmp(q)
	} else if a.isScalar() && b.isScalar() && a.kind == stringKind && b.kind == stringKind {
		order = strings.Compare(a.text, b.text)
	} else {
		return truth(false)
	}
	switch op {
	case "<":
		return truth(order < 0)
	case "<=":
		return truth(order <= 0)
	case ">":
		return truth(order > 0)
	}
	return truth(order >= 0)
}

// number is the value of an integer or a float, nil for other values.
func number(n *node) *big.Float {
	if n == nil || n.kind != intKind && n.kind != floatKind {
		return nil
	}
	f, _, err := big.ParseFloat(n.text, 10, 128, big.ToNearestEven)
	if err != nil {
		return nil
	}
	return f
}

func (x *expression) primary() *node {
	word, quot := x.word, x.quot
	switch {
	case quot:
		x.next()
		return text(word, nil)
	case word == "(":
		if x.deep++; x.deep > maxLogic {
			x.bad = "nested too deeply"
			return nil
		}
		x.next()
		v := x.or()
		x.deep--
		if !x.is(")") {
			x.bad = "a parenthesis is not closed"
		}
		return v
	case word == "":
		x.bad = "a value is missing"
		return nil
	}
	x.next()
	if group, _, ok := strings.Cut(word, "."); ok && isName(word) &&
		(group == "pipeline" || group == "parameters" || group == "matrix") {
		if x.dry {
			return nil
		}
		v, _ := x.c.lookup(word, x.sc, x.at, x.raw)
		return v
	}
	switch k, canonical := resolve(word); k {
	case boolKind, intKind, floatKind:
		return scalar(k, canonical)
	case nullKind:
		return nil
	}
	x.bad = "unknown word " + word
	return nil
}
