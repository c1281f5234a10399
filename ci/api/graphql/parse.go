package graphql

import (
	"encoding/json"
	"strings"
)

// The limits of a document.
const (
	maxDepth  = 20    // of selections and of values
	maxTokens = 50000 // in all
)

// A parser reads a document.
type parser struct {
	scanner
	token  token // the one to be read
	tokens int
	depth  int
}

// parse reads a document. What is wrong with it is a [mistake].
func parse(text string) (*document, error) {
	p := &parser{scanner: scanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1, column: 1}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	d := &document{fragments: map[string]*fragment{}}
	for p.token.kind != tokenEnd {
		if err := p.definition(d); err != nil {
			return nil, err
		}
	}
	if len(d.operations) == 0 {
		return nil, wrong(p.token.at, "the document has no operation; one begins with query, mutation or {")
	}
	return d, nil
}

// advance reads the next token.
func (p *parser) advance() (err error) {
	if p.tokens++; p.tokens > maxTokens {
		return wrong(p.token.at, "the document has more than %d words; give long lists as variables", maxTokens)
	}
	p.token, err = p.next()
	return err
}

// take reads a token of the kind if it is the next one.
func (p *parser) take(kind string) (token, bool, error) {
	t := p.token
	if t.kind != kind {
		return t, false, nil
	}
	return t, true, p.advance()
}

// need reads a token that has to be of the kind.
func (p *parser) need(kind string) (token, error) {
	t, ok, err := p.take(kind)
	if err == nil && !ok {
		found := t.kind
		if t.text != "" && t.kind != tokenString {
			found = t.text
		}
		return t, wrong(t.at, "%s is expected, not %s", kind, found)
	}
	return t, err
}

// many reads from one token to another as often as there is something between.
// An empty list is a mistake.
func (p *parser) many(from, to string, one func() error) error {
	if p.depth++; p.depth > maxDepth {
		return wrong(p.token.at, "this is nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	if _, err := p.need(from); err != nil {
		return err
	}
	for first := true; ; first = false {
		t, done, err := p.take(to)
		switch {
		case err != nil:
			return err
		case done && first:
			return wrong(t.at, "there is nothing between %s and %s", from, to)
		case done:
			return nil
		case t.kind == tokenEnd:
			return wrong(t.at, "%s is missing at the end", to)
		}
		if err := one(); err != nil {
			return err
		}
	}
}

// definition reads an operation or a fragment.
func (p *parser) definition(d *document) (err error) {
	o := &operation{kind: "query", at: p.token.at}
	if p.token.kind != "{" {
		t, err := p.need(tokenName)
		if err != nil {
			return err
		}
		switch t.text {
		case "query", "mutation":
		case "fragment":
			return p.fragment(d)
		default:
			return wrong(t.at, "%s is not served here; an operation begins with query, mutation or {", t.text)
		}
		o.kind = t.text
		name, _, err := p.take(tokenName)
		if err != nil {
			return err
		}
		if name.kind == tokenName {
			o.name = name.text
		}
		if p.token.kind == "(" {
			if err := p.many("(", ")", func() error { return p.variable(o) }); err != nil {
				return err
			}
		}
		if _, err := p.directives(); err != nil {
			return err
		}
	}
	d.operations = append(d.operations, o)
	o.set, err = p.selections()
	return err
}

func (p *parser) fragment(d *document) error {
	name, err := p.need(tokenName)
	if err != nil {
		return err
	}
	on, err := p.condition()
	if err != nil {
		return err
	}
	if _, err := p.directives(); err != nil {
		return err
	}
	set, err := p.selections()
	d.fragments[name.text] = &fragment{on: on, set: set}
	return err
}

// condition reads "on" and the name of a type.
func (p *parser) condition() (string, error) {
	if t, err := p.need(tokenName); err != nil || t.text != "on" {
		if err == nil {
			err = wrong(t.at, "on and a type are expected, not %s", t.text)
		}
		return "", err
	}
	t, err := p.need(tokenName)
	return t.text, err
}

// variable reads the declaration of a variable.
func (p *parser) variable(o *operation) error {
	if _, err := p.need("$"); err != nil {
		return err
	}
	name, err := p.need(tokenName)
	if err != nil {
		return err
	}
	if _, err := p.need(":"); err != nil {
		return err
	}
	v := variable{name: name.text}
	if v.typ, err = p.typ(); err != nil {
		return err
	}
	if _, ok, err := p.take("="); err != nil {
		return err
	} else if ok {
		if v.fallback, err = p.value(); err != nil {
			return err
		}
	}
	o.variables = append(o.variables, v)
	_, err = p.directives()
	return err
}

// typ reads a type as text.
func (p *parser) typ() (typ string, err error) {
	if p.token.kind == "[" {
		err = p.many("[", "]", func() error {
			if typ != "" {
				return wrong(p.token.at, "a list has one type")
			}
			inner, err := p.typ()
			typ = "[" + inner + "]"
			return err
		})
	} else {
		var t token
		t, err = p.need(tokenName)
		typ = t.text
	}
	if err != nil {
		return "", err
	}
	if _, ok, err := p.take("!"); err != nil || !ok {
		return typ, err
	}
	return typ + "!", nil
}

// selections reads what stands in braces.
func (p *parser) selections() (set []selection, err error) {
	err = p.many("{", "}", func() error {
		s, err := p.selection()
		set = append(set, s)
		return err
	})
	return set, err
}

func (p *parser) selection() (s selection, err error) {
	s.at = p.token.at
	if _, ok, err := p.take(tokenSpread); err != nil || ok {
		if err != nil {
			return s, err
		}
		return p.spread(s)
	}
	name, err := p.need(tokenName)
	if err != nil {
		return s, err
	}
	s.key, s.name = name.text, name.text
	if _, ok, err := p.take(":"); err != nil {
		return s, err
	} else if ok {
		if name, err = p.need(tokenName); err != nil {
			return s, err
		}
		s.name = name.text
	}
	if s.arguments, err = p.arguments(); err != nil {
		return s, err
	}
	if s.directives, err = p.directives(); err != nil {
		return s, err
	}
	if p.token.kind == "{" {
		s.set, err = p.selections()
	}
	return s, err
}

// spread reads what follows three dots.
func (p *parser) spread(s selection) (_ selection, err error) {
	if p.token.kind == tokenName && p.token.text != "on" {
		s.spread = p.token.text
		if err := p.advance(); err != nil {
			return s, err
		}
		s.directives, err = p.directives()
		return s, err
	}
	s.inline = true
	if p.token.kind == tokenName {
		if s.on, err = p.condition(); err != nil {
			return s, err
		}
	}
	if s.directives, err = p.directives(); err != nil {
		return s, err
	}
	s.set, err = p.selections()
	return s, err
}

func (p *parser) arguments() (out []argument, err error) {
	if p.token.kind != "(" {
		return nil, nil
	}
	err = p.many("(", ")", func() error {
		a, err := p.pair()
		out = append(out, a)
		return err
	})
	return out, err
}

// pair reads a name, a colon and a value.
func (p *parser) pair() (a argument, err error) {
	name, err := p.need(tokenName)
	if err != nil {
		return a, err
	}
	if _, err := p.need(":"); err != nil {
		return a, err
	}
	a.name = name.text
	a.value, err = p.value()
	return a, err
}

func (p *parser) directives() (out []directive, err error) {
	for p.token.kind == "@" {
		d := directive{at: p.token.at}
		if err := p.advance(); err != nil {
			return nil, err
		}
		name, err := p.need(tokenName)
		if err != nil {
			return nil, err
		}
		d.name = name.text
		if d.arguments, err = p.arguments(); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// value reads a value.
func (p *parser) value() (any, error) {
	t := p.token
	switch t.kind {
	case "[", "{":
		return p.compound()
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch t.kind {
	case tokenString:
		return t.text, nil
	case tokenNumber:
		if n := json.Number(t.text); json.Valid([]byte(t.text)) {
			return n, nil
		}
		return nil, wrong(t.at, "%.40s is no number", t.text)
	case "$":
		name, err := p.need(tokenName)
		return reference(name.text), err
	case tokenName:
		switch t.text {
		case "true", "false":
			return t.text == "true", nil
		case "null":
			return nil, nil
		}
		return enumerated(t.text), nil
	}
	return nil, wrong(t.at, "a value is expected, not %s", t.kind)
}

// closing has the end of what begins so.
var closing = map[string]string{"[": "]", "{": "}"}

// compound reads a list or an object, which may be empty.
func (p *parser) compound() (any, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, wrong(p.token.at, "this is nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	open := p.token.kind
	if err := p.advance(); err != nil {
		return nil, err
	}
	list, object := []any{}, map[string]any{}
	for {
		_, done, err := p.take(closing[open])
		if err != nil {
			return nil, err
		}
		switch {
		case done && open == "[":
			return list, nil
		case done:
			return object, nil
		case open == "[":
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		default:
			a, err := p.pair()
			if err != nil {
				return nil, err
			}
			object[a.name] = a.value
		}
	}
}
