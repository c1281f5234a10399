package config

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A declaration is a command, job or executor, or the configuration itself,
// with the parameters that it declares.
type declaration struct {
	kind   string // "command", "job", "executor", "pipeline"
	body   *node
	space  *space // what its body sees
	params []param
	used   map[string]bool // parameters that the body names, for warnings
}

// A declarationKey tells declarations apart: one text may stand for two of
// them, by way of an alias.
type declarationKey struct {
	body  *node
	space *space
	kind  string
}

// A param is one declared parameter.
type param struct {
	name string
	typ  string
	def  *node // nil when the argument is required
	enum []*node
	key  *node
}

// allowed is a hint with the members of an enum.
func (p *param) allowed() string {
	if p.typ != "enum" {
		return ""
	}
	var all []string
	for _, v := range p.enum {
		all = append(all, v.show())
	}
	return "one of " + strings.Join(all, ", ")
}

func (d *declaration) param(name string) *param {
	for i := range d.params {
		if d.params[i].name == name {
			return &d.params[i]
		}
	}
	return nil
}

func (d *declaration) names() []string {
	var out []string
	for i := range d.params {
		out = append(out, d.params[i].name)
	}
	return out
}

// parameterTypes are the types that each kind of declaration may use.
var parameterTypes = map[string][]string{
	"command":  {"string", "boolean", "integer", "enum", "executor", "steps", "env_var_name"},
	"job":      {"string", "boolean", "integer", "enum", "executor", "steps", "env_var_name"},
	"executor": {"string", "boolean", "integer", "enum", "env_var_name"},
	"pipeline": {"string", "boolean", "integer", "enum"},
}

// reservedParameters are the keys of a job in a workflow that a parameter of
// the job would hide.
var reservedParameters = []string{
	"name", "requires", "context", "type", "filters", "matrix", "pre-steps",
	"post-steps", "serial-group", "override-with",
}

// declare reads the parameters of a declaration, once.
func (c *compiler) declare(body *node, sp *space, kind string) *declaration {
	key := declarationKey{body, sp, kind}
	if d, ok := c.declared[key]; ok {
		return d
	}
	d := &declaration{kind: kind, body: body, space: sp}
	c.declared[key] = d
	ps := body.get("parameters")
	switch {
	case ps.isNull() || c.legacy:
		return d
	case ps.kind != mapKind:
		c.wrongKind(ps, "parameters", "Mapping")
		return d
	}
	for _, f := range ps.fields {
		p, ok := c.parameter(f, kind)
		if ok {
			d.params = append(d.params, p)
		}
	}
	return d
}

// parameter reads one declaration of a parameter.
func (c *compiler) parameter(f field, kind string) (param, bool) {
	p := param{name: f.name(), key: f.key}
	if !validName(p.name) {
		c.fail(f.key, "CFG014", "the parameter name '%s' has to be letters, digits, _ and -, beginning with a letter", clip(p.name, 60)).Hint =
			"choose another name"
	}
	if kind == "job" && slices.Contains(reservedParameters, p.name) {
		c.fail(f.key, "CFG014", "a job may not declare a parameter called '%s': a workflow uses this key itself", p.name).Hint = "choose another name"
		return p, false
	}
	if f.value.isNull() || f.value.kind != mapKind {
		c.wrongKind(f.value.or(f.key), "parameter "+p.name, "Mapping")
		return p, false
	}
	c.checkKeys(f.value, "parameter "+p.name, parameterKeys, nil)
	typ := f.value.get("type")
	if typ.isNull() {
		c.fail(f.key, "CFG011", "required key [type] not found in parameter %s", p.name).Hint =
			"the type is one of " + strings.Join(parameterTypes[kind], ", ")
		return p, false
	}
	p.typ = typ.str()
	if types := parameterTypes[kind]; !slices.Contains(types, p.typ) {
		e := c.fail(typ, "CFG033", "a %s has no parameters of type %s", kind, typ.show())
		if e.Hint = suggest(p.typ, types, ""); e.Hint == "" {
			e.Hint = "one of " + strings.Join(types, ", ")
		}
		return p, false
	}
	if p.typ == "enum" {
		members := f.value.get("enum")
		if members.isNull() || members.kind != listKind || len(members.items) == 0 {
			c.fail(f.key, "CFG033", "the parameter '%s' of type enum needs a list of values under the key enum", p.name).Hint = "like enum: [small, large]"
			return p, false
		}
		p.enum = members.items
	}
	if def := f.value.field("default"); def.key != nil {
		p.def = def.value
		switch {
		case def.value.isNull() && p.typ == "string":
			p.def = text("", def.value)
		case def.value.isNull() && p.typ == "steps":
			p.def = list(nil, def.value)
		case def.value.isNull():
			p.def = nil
		case !def.value.template && !c.fits(&p, def.value):
			c.fail(def.value, "CFG033", "the default does not fit: %s", typeError(&p, def.value)).Hint = cmpOr(p.allowed(), quoteHint(&p, def.value))
		}
	}
	return p, true
}

// or returns n, or other when n is nil.
func (n *node) or(other *node) *node {
	if n == nil {
		return other
	}
	return n
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// validName reports whether a name may be given to a command, job, executor
// or parameter.
func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '_' || c == '-')) {
			return false
		}
	}
	return s != ""
}

// fits reports whether a value is of the type of the parameter.
func (c *compiler) fits(p *param, v *node) bool {
	switch p.typ {
	case "string":
		return v.kind == stringKind
	case "boolean":
		return v.kind == boolKind
	case "integer":
		return v.kind == intKind
	case "steps":
		return v.kind == listKind
	case "executor":
		return v.kind == stringKind && v.text != "" || v.kind == mapKind
	case "env_var_name":
		return v.kind == stringKind && isVariable(v.text)
	case "enum":
		return slices.ContainsFunc(p.enum, func(m *node) bool {
			return equal(m, v) || m.isScalar() && v.isScalar() && (m.text == v.text || m.raw != "" && m.raw == v.text)
		})
	}
	return false
}

// isVariable reports whether s may be the name of an environment variable.
func isVariable(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// typeError is the message about an argument of the wrong type.
func typeError(p *param, v *node) string {
	typ := p.typ
	if typ == "env_var_name" {
		typ = "environment variable name"
	}
	return fmt.Sprintf("Type error for argument %s: expected type: %s, actual value: %s (type %s)", p.name, typ, v.show(), v.typeName())
}

// quoteHint advises to quote, or not to.
func quoteHint(p *param, v *node) string {
	switch {
	case p.typ == "string" && v.raw != "":
		return fmt.Sprintf("quote it: %q", v.raw)
	case p.typ == "string" && v.isScalar():
		return fmt.Sprintf("quote it: %q", v.text)
	case (p.typ == "boolean" || p.typ == "integer") && v.kind == stringKind:
		if k, _ := resolve(v.text); k == boolKind && p.typ == "boolean" || k == intKind && p.typ == "integer" {
			return "write it without quotes"
		}
	case p.typ == "steps":
		return "a list of steps is needed, also for a single one"
	}
	return ""
}

// bind gives the arguments of a call to the parameters of what is called. The
// arguments are expanded in the caller's scope. It reports all mistakes and
// returns false when there was one.
func (c *compiler) bind(d *declaration, name string, args []field, caller *scope, at *node) (map[string]*node, bool) {
	if len(d.params) == 0 && len(args) == 0 {
		return nil, true
	}
	ok := true
	values := make(map[string]*node, len(d.params))
	var unexpected []string
	wrong := at
	for _, a := range args {
		key := c.key(a.key, caller)
		p := d.param(key.text)
		if p == nil {
			unexpected = append(unexpected, key.text)
			wrong = a.key
			continue
		}
		if a.value.isNull() {
			continue
		}
		v, good := c.argument(p, a.value, caller)
		if !good {
			ok = false
			values[p.name] = scalar(nullKind, "")
			continue
		}
		if v != nil {
			values[p.name] = v
		}
	}
	if len(unexpected) > 0 {
		sort.Strings(unexpected)
		e := c.fail(wrong, "CFG031", "Error calling %s: Unexpected argument(s): %s", localName(name), strings.Join(unexpected, ", "))
		e.Hint = suggest(unexpected[0], d.names(), "")
		if e.Hint == "" {
			e.Hint = listed("the parameters are", d.names())
		}
		if e.Hint == "" {
			e.Hint = fmt.Sprintf("the %s '%s' declares no parameters", d.kind, name)
		}
		ok = false
	}
	return values, c.defaults(d, name, values, at) && ok
}

// argument expands and checks one argument; nil is one that is missing.
func (c *compiler) argument(p *param, raw *node, caller *scope) (*node, bool) {
	before := c.failures
	var v *node
	if p.typ == "steps" && raw.kind == listKind {
		v = list(c.steps(raw, caller), raw)
	} else {
		v = c.expand(raw, caller)
	}
	if c.failures > before {
		return nil, false
	}
	if v.isNull() {
		return nil, true
	}
	if !c.fits(p, v) {
		e := c.fail(raw, "CFG032", "%s", typeError(p, v))
		e.Hint = cmpOr(p.allowed(), quoteHint(p, v))
		return nil, false
	}
	if p.typ == "executor" {
		v = executorIn(v, caller.space)
	}
	return v, true
}

// executorIn marks an executor value with the space its name belongs to,
// unless it has been marked by a caller further out.
func executorIn(v *node, sp *space) *node {
	if v.space != nil {
		return v
	}
	marked := *v
	own := *v.parts
	own.space = sp
	marked.parts = &own
	if marked.kind == stringKind {
		marked.kind = mapKind
		marked.fields = []field{{text("name", v), text(v.text, v)}}
		marked.plain = false
		marked.sum()
	}
	return &marked
}

// defaults adds the defaults of the parameters that were not given, and
// reports those that have none.
func (c *compiler) defaults(d *declaration, name string, values map[string]*node, at *node) bool {
	inside := &scope{space: d.space}
	var missing []string
	for i := range d.params {
		p := &d.params[i]
		if _, ok := values[p.name]; ok {
			continue
		}
		switch {
		case p.def == nil:
			missing = append(missing, p.name)
		case p.typ == "steps":
		case p.typ == "executor":
			values[p.name] = executorIn(c.expand(p.def, inside), d.space)
		default:
			values[p.name] = c.expand(p.def, inside)
		}
	}
	if len(missing) > 0 {
		sort.Strings(missing)
		e := c.fail(at, "CFG030", "Error calling %s: Missing required argument(s): %s", localName(name), strings.Join(missing, ", "))
		e.Hint = "write " + clip(name, 60) + ": {" + clip(strings.Join(missing, ": ..., "), 200) + ": ...}, or give the parameter a default"
		return false
	}
	inside.params = values
	for i := range d.params {
		p := &d.params[i]
		if _, ok := values[p.name]; !ok && p.typ == "steps" {
			if p.def.kind == listKind {
				values[p.name] = list(c.steps(p.def, inside), p.def)
			} else {
				values[p.name] = c.expand(p.def, inside)
			}
		}
	}
	return true
}

// localName is the name of a command or job without that of its orb, as the
// original's messages have it.
func localName(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[i+1:]
	}
	return name
}
