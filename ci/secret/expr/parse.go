package expr

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// levels are the binary operators from weak to strong.
var levels = [][]string{
	{"or"},
	{"and"},
	{"==", "!="},
	{"starts-with", "matches"},
	{">=", ">", "<=", "<"},
}

// forbidden begin the names of values that the trigger of a pipeline chooses.
var forbidden = []string{"pipeline.parameters.", "pipeline.trigger_parameters."}

// A parser reads an expression by recursive descent.
type parser struct {
	lexer
	tok   token
	depth int
	names []name
}

// Parse reads an expression. A mistake in it is an [Error] that wraps
// [ci.ErrInvalid]: of form, an identifier that no pipeline has or that is
// forbidden, or an operand whose type can never be right.
func Parse(text string) (*Expr, error) {
	p := &parser{lexer: lexer{in: text}}
	switch {
	case len(text) > MaxLength:
		return nil, p.mistake(0, "it has %d bytes, more than %d: make it shorter, or several restrictions of it", len(text), MaxLength)
	case !utf8.ValidString(text):
		return nil, &Error{Col: 1, Text: "it is not UTF-8", Cause: ci.ErrInvalid}
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != end {
		return nil, p.mistake(p.tok.at, "an operator is expected, not %s", p.tok)
	}
	return &Expr{text: text, root: root, names: p.names}, nil
}

// advance reads the next token.
func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

// binary reads operators of the level and stronger ones.
func (p *parser) binary(level int) (node, error) {
	if level == len(levels) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	if err != nil {
		return nil, err
	}
	for {
		op := p.operator(level)
		if op == "" {
			return left, nil
		}
		at := p.tok.at
		if err := p.advance(); err != nil {
			return nil, err
		}
		if op == "matches" {
			left, err = p.matches(left, at)
		} else {
			left, err = p.join(level, op, left, at)
		}
		if err != nil {
			return nil, err
		}
	}
}

// operator returns the operator of the level at which the parser stands, or "".
func (p *parser) operator(level int) string {
	for _, op := range levels[level] {
		if p.tok.is(op) {
			return op
		}
	}
	return ""
}

// join reads the right operand of an operator and refuses operands whose type
// is known and wrong.
func (p *parser) join(level int, op string, left node, at int) (node, error) {
	right, err := p.binary(level + 1)
	if err != nil {
		return nil, err
	}
	b := binary{op: op, left: left, right: right, col: p.column(at)}
	if need := b.needs(); need != "" {
		for _, side := range []node{left, right} {
			if err := p.fits(op, need, side, at); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// fits refuses an operand of a known type that is not the one needed.
func (p *parser) fits(op, need string, side node, at int) error {
	t := side.typ()
	if t == "" || t == need {
		return nil
	}
	if _, ok := side.(not); ok {
		return p.mistake(at, "%s needs %s, but not binds tighter: write not (... %s ...)", op, need, op)
	}
	return p.mistake(at, "%s needs %s on both sides, one is %s", op, need, t)
}

// matches reads the regular expression behind the operator.
func (p *parser) matches(left node, at int) (node, error) {
	t := p.tok
	if t.kind != pattern {
		return nil, p.mistake(t.at, "behind matches stands a /regular expression/, not %s", t)
	}
	if len(t.text) > MaxPattern {
		return nil, p.mistake(t.at, "the regular expression has %d bytes, more than %d", len(t.text), MaxPattern)
	}
	// Compiled by itself first: a parenthesis too many would end the group.
	_, err := regexp.Compile(t.text)
	re, err2 := regexp.Compile(`\A(?:` + t.text + `)\z`)
	if err != nil || err2 != nil {
		return nil, p.mistake(t.at, "the regular expression is not one that Go's package regexp reads")
	}
	if err := p.fits("matches", "a text", left, at); err != nil {
		return nil, err
	}
	return match{left: left, re: re, col: p.column(at)}, p.advance()
}

// unary reads an operand and the nots before it.
func (p *parser) unary() (node, error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, p.mistake(p.tok.at, "it is nested deeper than %d", MaxDepth)
	}
	defer func() { p.depth-- }()
	if p.tok.is("not") || p.tok.is("!") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		x, err := p.unary()
		return not{x}, err
	}
	if !p.tok.is("(") {
		return p.operand()
	}
	at := p.tok.at
	if err := p.advance(); err != nil {
		return nil, err
	}
	x, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if !p.tok.is(")") {
		return nil, p.mistake(at, "this parenthesis is not closed where %s stands", p.tok)
	}
	return group{x}, p.advance()
}

// operand reads a literal or an identifier.
func (p *parser) operand() (node, error) {
	t := p.tok
	var n node
	switch {
	case t.kind == quoted:
		n = literal{t.text}
	case t.is("true"), t.is("false"):
		n = literal{t.text == "true"}
	case t.kind == word && isNumber(t.text):
		v, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return nil, p.mistake(t.at, "%s is no integer of 64 bits", t)
		}
		n = literal{v}
	case t.kind == word && !isOperator(t.text):
		if err := p.known(t); err != nil {
			return nil, err
		}
		id := name{t.text, p.column(t.at)}
		p.names = append(p.names, id)
		n = id
	default:
		return nil, p.mistake(t.at, "a value is expected, not %s", t)
	}
	return n, p.advance()
}

// known refuses identifiers that no pipeline has and those that are not safe.
func (p *parser) known(t token) error {
	for _, prefix := range forbidden {
		if strings.HasPrefix(t.text, prefix) || t.text+"." == prefix {
			return p.mistake(t.at, "%s may not be used: whoever triggers the pipeline chooses its value", t)
		}
	}
	if t.text == SSH || strings.HasPrefix(t.text, "pipeline.") && len(t.text) > len("pipeline.") {
		return nil
	}
	hint := ""
	if strings.HasPrefix(t.text, "git.") || strings.HasPrefix(t.text, "project.") {
		hint = fmt.Sprintf(", did you mean pipeline.%s?", t)
	}
	return p.mistake(t.at, "%s is neither a pipeline value nor %s%s; texts stand in double quotes", t, SSH, hint)
}

func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s != "" && s[0] >= '0' && s[0] <= '9'
}

func isOperator(s string) bool {
	for _, ops := range levels {
		for _, op := range ops {
			if s == op {
				return true
			}
		}
	}
	return s == "not"
}

// column returns the column of an offset.
func (p *parser) column(at int) int { return utf8.RuneCountInString(p.in[:at]) + 1 }
