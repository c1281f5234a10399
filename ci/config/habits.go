package config

import (
	"strings"
)

// A linter walks over the configuration as it is written and notes bad habits.
type linter struct {
	c *compiler
	// defined are the names of jobs, commands and executors; a name is used
	// when it stands somewhere else.
	defined map[string]bool
}

// lint notes bad habits of the whole configuration, including parts that are
// not reached.
func (c *compiler) lint(root *node) {
	l := linter{c: c, defined: make(map[string]bool)}
	for _, group := range []string{"jobs", "commands", "executors"} {
		if g := root.get(group); g != nil {
			for _, f := range g.fields {
				l.defined[f.name()] = false
			}
		}
	}
	for _, f := range root.fields {
		switch f.name() {
		case "jobs", "commands", "executors":
			for _, d := range f.value.fields {
				l.walk(d.value, f.name())
			}
		case "workflows":
			for _, w := range f.value.fields {
				l.walk(w.value, "workflows")
			}
		case "orbs":
			l.walk(f.value, "orbs")
		}
	}
	l.unused(root)
	for _, j := range c.jobs {
		for _, f := range j.body.fields {
			switch f.name() {
			case "circleci_ip_ranges", "retention":
				if truthy(f.value) {
					c.warn(f.key, "CFG905", "the key '%s' has no effect in this installation", f.name())
				}
			case "type":
				if t := f.value.str(); t == "release" || t == "lock" || t == "unlock" {
					c.warn(f.key, "CFG910", "the job %s of type %s does nothing in this installation; jobs that require it go on", j.name, t)
				}
			}
		}
		if m := j.body.field("macos"); m.key != nil {
			c.warn(m.key, "CFG910", "job %s asks for macOS, and this installation has no such machines unless a self-hosted runner offers them", j.name)
		}
	}
}

// walk looks at a value and all below it. in is the key that it stands under.
func (l *linter) walk(n *node, in string) {
	switch n.kind {
	case listKind:
		for _, v := range n.items {
			if v.kind == mapKind && len(v.fields) == 1 {
				l.use(v.fields[0].name())
			}
			l.walk(v, in)
		}
	case mapKind:
		for _, f := range n.fields {
			l.field(f, n, in)
		}
	case stringKind:
		l.use(n.text)
	case intKind, floatKind:
		l.use(n.raw)
	}
}

// use notes that a name is mentioned.
func (l *linter) use(name string) {
	if used, ok := l.defined[name]; ok && !used {
		l.defined[name] = true
	}
}

// field looks at one entry of a map.
func (l *linter) field(f field, of *node, in string) {
	v := f.value
	switch f.name() {
	case "docker":
		if v.kind == listKind {
			for _, image := range v.items {
				l.image(image)
			}
			l.walk(v, "docker")
			return
		}
	case "environment":
		l.variables(v, in)
	case "save_cache":
		if key := v.get("key"); key != nil && key.kind == stringKind && !strings.Contains(key.text, "{{") && !key.template {
			l.c.warn(key, "CFG907", "the cache key %q never changes, so the cache is saved once and never again; add {{ checksum \"file\" }} or {{ epoch }}", clip(key.text, 60))
		}
	case "deploy":
		if of.kind == mapKind && len(of.fields) == 1 && v.get("command") != nil {
			l.c.warn(f.key, "CFG905", "the step 'deploy' is deprecated; use run and the order of the jobs")
		}
	case "branches":
		if in == "jobs" && v.kind == mapKind && of.get("steps") != nil {
			l.c.warn(f.key, "CFG905", "the key 'branches' of a job is deprecated; use filters in a workflow")
		}
	case "parameters", "description":
		if in == "jobs" || in == "commands" || in == "executors" {
			for _, p := range v.fieldsOf() {
				if d := p.value.get("default"); d != nil {
					l.walk(d, "parameters")
				}
			}
			return
		}
	case "xcode", "version":
		return
	case "orbs":
		for _, o := range v.fieldsOf() {
			l.walk(o.value, "orbs")
		}
		return
	}
	l.walk(v, f.name())
}

// fieldsOf are the entries of a map, none for other values.
func (n *node) fieldsOf() []field {
	if n == nil || n.kind != mapKind {
		return nil
	}
	return n.fields
}

// image looks at one image of a Docker executor.
func (l *linter) image(image *node) {
	n := image.get("image")
	if n.str() == "" || n.template || strings.Contains(n.text, "$") {
		return
	}
	name := n.text[strings.LastIndexByte(n.text, '/')+1:]
	switch {
	case strings.HasSuffix(name, ":latest"):
		l.c.warn(n, "CFG903", "the image %s has no fixed version, so two runs of one commit may differ", clip(n.text, 80))
	case !strings.ContainsAny(name, ":@"):
		l.c.warn(n, "CFG903", "the image %s has no tag, so two runs of one commit may differ", clip(n.text, 80))
	}
	if auth := image.get("auth"); auth != nil {
		l.secret(auth.field("password"))
	}
	l.secret(image.get("aws_auth").field("aws_secret_access_key"))
}

// variables looks at an environment.
func (l *linter) variables(v *node, in string) {
	entries := v.fieldsOf()
	if v.kind == listKind {
		for _, item := range v.items {
			entries = append(entries[:len(entries):len(entries)], item.fieldsOf()...)
		}
	}
	for _, f := range entries {
		switch n := f.value; {
		case n.raw != "" && (n.kind == intKind || n.kind == floatKind) && n.raw != n.text && !sameNumber(n.raw, n.text):
			l.c.warn(n, "CFG902", "YAML reads %s as the number %s; quote it: %q", n.raw, n.text, n.raw)
		case n.kind == boolKind && n.raw != "" && !strings.EqualFold(n.raw, n.text):
			l.c.warn(n, "CFG902", "YAML reads %s as %s; quote it: %q", n.raw, n.text, n.raw)
		}
		if in != "docker" { // the passwords of throw-away services are no secrets
			l.secret(f)
		}
	}
}

// sameNumber reports whether a number only lacks a sign or a fraction of 0.
func sameNumber(raw, text string) bool {
	return strings.TrimPrefix(raw, "+") == strings.TrimSuffix(text, ".0")
}

// secretWords are parts of names that promise a secret.
var secretWords = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY"}

// secret warns about a variable that looks like a secret written down. The
// value is not repeated.
func (l *linter) secret(f field) {
	if f.key == nil || f.value.isNull() || f.value.kind != stringKind || len(f.value.text) < 8 || f.value.template ||
		strings.ContainsAny(f.value.text, "$ ") {
		return
	}
	name := strings.ToUpper(f.name())
	for _, w := range secretWords {
		if strings.Contains(name, w) && !strings.HasSuffix(name, "_FILE") && !strings.HasSuffix(name, "_PATH") && !strings.HasSuffix(name, "_NAME") {
			l.c.warn(f.key, "CFG906", "%s looks like a secret in plain text; keep it in a context or in the project's variables", clip(f.name(), 60))
			return
		}
	}
}

// unused warns about what is defined and never mentioned.
func (l *linter) unused(root *node) {
	if l.c.legacy && root.get("workflows") == nil {
		return
	}
	for _, group := range []string{"jobs", "commands", "executors"} {
		for _, f := range root.get(group).fieldsOf() {
			if !l.defined[f.name()] && !(group == "jobs" && f.name() == "build") {
				l.c.warn(f.key, "CFG904", "the %s '%s' is not used", strings.TrimSuffix(group, "s"), f.name())
			}
			if !l.c.legacy {
				l.unusedParameters(f.value, strings.TrimSuffix(group, "s")+" "+f.name())
			}
		}
	}
	if l.c.legacy {
		return
	}
	for _, p := range root.get("parameters").fieldsOf() {
		if !strings.Contains(l.c.text, "pipeline.parameters."+p.name()) {
			l.c.warn(p.key, "CFG904", "the pipeline parameter '%s' is not used", p.name())
		}
	}
}

// unusedParameters warns about parameters that the body does not mention.
func (l *linter) unusedParameters(body *node, what string) {
	ps := body.get("parameters").fieldsOf()
	if len(ps) == 0 {
		return
	}
	seen := make(map[string]bool, len(ps))
	var scan func(n *node)
	scan = func(n *node) {
		if n == nil || !n.template {
			return
		}
		for _, v := range n.items {
			scan(v)
		}
		for _, f := range n.fields {
			scan(f.key)
			scan(f.value)
		}
		if n.kind == stringKind {
			for _, p := range ps {
				if !seen[p.name()] && strings.Contains(n.text, "parameters."+p.name()) {
					seen[p.name()] = true
				}
			}
		}
	}
	scan(body)
	for _, p := range ps {
		if !seen[p.name()] {
			l.c.warn(p.key, "CFG904", "the parameter '%s' of %s is not used", p.name(), what)
		}
	}
}
