package graphql

import (
	"errors"
	"slices"
	"strings"
)

// maxSteps is how many fields a document may select, with fragments written
// out.
const maxSteps = 2000

// A step is a field to be resolved, with its arguments known.
type step struct {
	key  string
	name string
	f    field
	args args
	set  []step
	at   place
}

// A planner turns the selections of an operation into steps. It finds all
// mistakes before anything is done.
type planner struct {
	doc      *document
	vars     map[string]any
	steps    int
	mistakes []error
}

// errEnough ends a plan that is not worth finishing.
var errEnough = errors.New("enough")

// plan returns the steps of an operation on the root object.
func plan(doc *document, o *operation, root *object, given map[string]any) ([]step, []error) {
	p := &planner{doc: doc, vars: variables(o, given)}
	steps, err := p.set(o.set, root, 0)
	if err != nil && err != errEnough {
		p.mistakes = append(p.mistakes, err)
	}
	return steps, p.mistakes
}

// variables returns the values of variables: those that are given, and the
// defaults of others. One that is used without being declared is tolerated,
// since real clients do so.
func variables(o *operation, given map[string]any) map[string]any {
	vars := make(map[string]any, len(given))
	for _, v := range o.variables {
		vars[v.name] = v.fallback
	}
	for name, v := range given {
		vars[name] = v
	}
	return vars
}

func (p *planner) wrong(at place, format string, args ...any) error {
	p.mistakes = append(p.mistakes, wrong(at, format, args...))
	if len(p.mistakes) >= 20 {
		return errEnough
	}
	return nil
}

// set plans selections on an object.
func (p *planner) set(set []selection, of *object, depth int) ([]step, error) {
	if depth > maxDepth {
		return nil, wrong(set[0].at, "this is nested more than %d deep", maxDepth)
	}
	var flat []selection
	if err := p.flatten(&flat, set, of, nil); err != nil {
		return nil, err
	}
	out := make([]step, 0, len(flat))
	for _, s := range flat {
		f, ok := of.fields[s.name]
		if s.name == "__typename" {
			f, ok = field{resolve: constant(of.name)}, true
		}
		if !ok {
			if err := p.wrong(s.at, "%s has no field %s; it has %s", of.name, s.name, of.list()); err != nil {
				return nil, err
			}
			continue
		}
		st := step{key: s.key, name: s.name, f: f, at: s.at}
		var err error
		if st.args, err = p.arguments(s, f); err != nil {
			return nil, err
		}
		switch {
		case f.of == nil && s.set != nil:
			err = p.wrong(s.at, "%s is a plain value and has no fields", s.name)
		case f.of != nil && s.set == nil:
			err = p.wrong(s.at, "say which fields of %s are wanted, of %s", s.name, f.of.list())
		case f.of != nil:
			st.set, err = p.set(s.set, f.of, depth+1)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// list names the fields of an object.
func (o *object) list() string {
	names := make([]string, 0, len(o.fields))
	for n := range o.fields {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// flatten appends fields, with fragments written out and fields of the same key
// put together. open are the fragments that it is in.
func (p *planner) flatten(to *[]selection, set []selection, of *object, open []string) error {
	for _, s := range set {
		if p.steps++; p.steps > maxSteps {
			return wrong(s.at, "the document selects more than %d fields", maxSteps)
		}
		wanted, err := p.wanted(s)
		switch {
		case err != nil:
			return err
		case !wanted:
			continue
		case s.inline:
			if s.on != "" && s.on != of.name {
				continue
			}
			err = p.flatten(to, s.set, of, open)
		case s.spread != "":
			f := p.doc.fragments[s.spread]
			switch {
			case f == nil:
				err = p.wrong(s.at, "there is no fragment %s", s.spread)
			case slices.Contains(open, s.spread):
				err = p.wrong(s.at, "the fragment %s contains itself", s.spread)
			case f.on == of.name:
				err = p.flatten(to, f.set, of, append(slices.Clip(open), s.spread))
			}
		default:
			err = p.merge(to, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// merge appends a field, or its fields to an earlier one with the same key.
func (p *planner) merge(to *[]selection, s selection) error {
	i := slices.IndexFunc(*to, func(t selection) bool { return t.key == s.key })
	if i < 0 {
		*to = append(*to, s)
		return nil
	}
	t := &(*to)[i]
	if t.name != s.name || len(t.arguments) != len(s.arguments) {
		return p.wrong(s.at, "two fields would be called %s; give one of them another name", s.key)
	}
	t.set = slices.Concat(t.set, s.set)
	return nil
}

// wanted reports what @include and @skip say.
func (p *planner) wanted(s selection) (bool, error) {
	for _, d := range s.directives {
		if d.name != "include" && d.name != "skip" || len(d.arguments) != 1 || d.arguments[0].name != "if" {
			return false, p.wrong(d.at, "the directives are @include(if: ...) and @skip(if: ...)")
		}
		v, err := coerce(p.value(d.arguments[0].value), "Boolean!")
		if err != nil {
			return false, p.wrong(d.at, "the condition of @%s %s", d.name, err)
		}
		if v == (d.name == "skip") {
			return false, nil
		}
	}
	return true, nil
}

// arguments checks the arguments of a field.
func (p *planner) arguments(s selection, f field) (args, error) {
	out := args{}
	for _, a := range s.arguments {
		if !slices.ContainsFunc(f.args, func(known arg) bool { return known.name == a.name }) {
			if err := p.wrong(s.at, "%s takes no argument %s", s.name, a.name); err != nil {
				return nil, err
			}
		}
	}
	for _, known := range f.args {
		var given any
		for _, a := range s.arguments {
			if a.name == known.name {
				given = p.value(a.value)
			}
		}
		v, err := coerce(given, known.typ)
		if err != nil {
			if err := p.wrong(s.at, "the argument %s of %s %s", known.name, s.name, err); err != nil {
				return nil, err
			}
		}
		if v != nil {
			out[known.name] = v
		}
	}
	return out, nil
}

// value puts the values of variables in their places.
func (p *planner) value(v any) any {
	switch v := v.(type) {
	case reference:
		return p.vars[string(v)]
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = p.value(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = p.value(v[k])
		}
		return out
	}
	return v
}
