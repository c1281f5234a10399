package config

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Orbs finds orbs: reusable packages of commands, jobs and executors.
type Orbs interface {
	// Orb returns the source of the orb that ref names, and the exact
	// reference that was chosen. The form of ref is ns/name@version, with a
	// version like 1.2.3, 1.2, 1, volatile or dev:label. An orb that does not
	// exist is [ci.ErrNotFound], one that the asker may not use
	// [ci.ErrDenied]; any other error is a fault of the registry, which ends
	// the compile and is returned as it is.
	Orb(ctx context.Context, ref string) (resolved string, source []byte, err error)
}

// A space is what names are looked up in: the configuration or one orb.
type space struct {
	name string // "" for the configuration, else the orb's alias or reference
	orb  bool
	root *node
	up   *space // the space that imports it
	ref  string // of an external orb
	// broken says that the orb could not be had, which has been reported;
	// nothing in it is to be reported as unknown.
	broken bool

	index map[string]map[string]field // group -> name -> entry
	orbs  map[string]*space
}

// find returns an entry of the commands, jobs, executors or orbs.
func (s *space) find(group, name string) (field, bool) {
	m, ok := s.index[group]
	if !ok {
		m = make(map[string]field)
		if g := s.root.get(group); g != nil && g.kind == mapKind {
			for _, f := range g.fields {
				m[f.name()] = f
			}
		}
		if s.index == nil {
			s.index = make(map[string]map[string]field)
		}
		s.index[group] = m
	}
	f, ok := m[name]
	return f, ok
}

// names returns the names of a group, for suggestions, those of imported orbs
// with their alias.
func (s *space) names(group string) []string {
	s.find(group, "")
	all := keys(s.index[group])
	for _, alias := range keys(s.orbs) {
		if orb := s.orbs[alias]; orb.root != nil {
			for _, n := range orb.names(group) {
				if !strings.Contains(n, "/") {
					all = append(all, alias+"/"+n)
				}
			}
		}
	}
	return all
}

// member looks up name or alias/name, and returns the space it was found in.
// The entry is without a key when there is none; ok is false when a missing
// orb has been reported and nothing else is worth saying.
func (c *compiler) member(sp *space, group, name string, at *node) (f field, in *space, ok bool) {
	alias, local, qualified := strings.Cut(name, "/")
	if !qualified || c.legacy { // in 2.0 a slash is a letter: expanded configurations have it
		f, _ := sp.find(group, name)
		return f, sp, true
	}
	orb := c.orb(sp, alias, at)
	if orb == nil || orb.broken {
		return field{}, nil, false
	}
	f, _ = orb.find(group, local)
	return f, orb, true
}

// orb returns the space of an imported orb, loading it at its first use.
func (c *compiler) orb(sp *space, alias string, at *node) *space {
	if o, ok := sp.orbs[alias]; ok {
		return o
	}
	f, ok := sp.find("orbs", alias)
	if !ok {
		sp.find("orbs", "")
		e := c.fail(at, "CFG023", "Cannot find an orb with the alias '%s'", clip(alias, 60))
		e.Hint = suggest(alias, keys(sp.index["orbs"]), "")
		if e.Hint == "" {
			e.Hint = "orbs are imported under the top-level key orbs"
		}
		return nil
	}
	if sp.orbs == nil {
		sp.orbs = make(map[string]*space)
	}
	o := &space{name: alias, orb: true, up: sp, broken: true}
	sp.orbs[alias] = o
	c.loaded++
	if c.loaded > c.limits.Orbs {
		c.abort(f.key, "CFG003", "more than %d orbs are imported, the limit called 'orbs'", c.limits.Orbs)
		return o
	}
	depth := 0
	for s := sp; s != nil; s = s.up {
		depth++
	}
	if depth > 20 {
		c.fail(f.key, "CFG026", "orbs are nested more than 20 deep at '%s'", alias)
		return o
	}
	switch {
	case f.value.isNull():
		c.fail(f.key, "CFG024", "the orb '%s' has no reference", alias)
	case f.value.kind == mapKind:
		o.root, o.broken = f.value, len(f.value.fields) == 0
		if o.broken {
			c.fail(f.value, "CFG025", "the orb '%s' is used but empty", alias).Hint =
				"such an orb is filled in by a setup pipeline before this configuration runs"
		}
		c.checkSpace(o.root, orbKeys, "orb "+alias)
	case f.value.kind == stringKind:
		c.external(o, f.value)
	default:
		c.wrongKind(f.value, "orbs/"+alias, "String or Mapping")
	}
	return o
}

// orbRef is the form of a reference. The label of a development version may
// have dots and slashes, but no empty or .. part.
var orbRef = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*@(volatile|dev:[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*|(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2})$`)

// external loads an orb of the registry.
func (c *compiler) external(o *space, value *node) {
	ref := c.orbRef(value, o.up)
	if ref == "" {
		return
	}
	o.ref = ref
	for s := o.up; s != nil; s = s.up {
		if s.ref == ref {
			c.fail(value, "CFG026", "the orb '%s' imports itself: %s", ref, chain(o))
			return
		}
	}
	root, ok := c.fetched[ref]
	if !ok {
		root = c.fetch(ref, value)
		c.fetched[ref] = root
	}
	o.root, o.broken = root, root == nil
}

// chain names the orbs from the outermost to o.
func chain(o *space) string {
	s := o.ref
	for p := o.up; p != nil && p.orb; p = p.up {
		s = cmpOr(p.ref, p.name) + " -> " + s
	}
	return s
}

// orbRef expands and checks a reference; "" when it is wrong, and reported.
func (c *compiler) orbRef(value *node, sp *space) string {
	v := c.expand(value, &scope{space: sp})
	ref := v.str()
	if ref == "" || orbRef.MatchString(ref) {
		return ref
	}
	e := c.fail(value, "CFG024", "%s is not the reference of an orb", v.show())
	e.Hint = "the form is namespace/name@version, like circleci/node@5.2.0"
	if !strings.Contains(ref, "@") {
		e.Hint = "the version is missing: " + clip(ref, 60) + "@1.2.3"
	}
	return ""
}

// A lister is a registry that can say what it has, like a folder.
type lister interface {
	Refs() ([]string, error)
}

// orbHint says what to do about an orb that is not there.
func (c *compiler) orbHint(ref string) string {
	name, version, _ := strings.Cut(ref, "@")
	l, ok := c.o.Orbs.(lister)
	if !ok {
		if c.o.Orbs == nil {
			return "no orbs are known here; a folder of them would have a file " + orbFile(name, version)
		}
		return ""
	}
	refs, err := l.Refs()
	if err != nil {
		return ""
	}
	var names, versions []string
	for _, r := range refs {
		n, v, _ := strings.Cut(r, "@")
		if n == name {
			versions = append(versions, v)
		}
		if len(names) == 0 || names[len(names)-1] != n {
			names = append(names, n)
		}
	}
	if len(versions) > 0 {
		return listed("of "+name+" there are the versions", versions)
	}
	return cmpOr(suggest(name, names, ""), "the file of this orb would be "+orbFile(name, version))
}

// orbFile is the name of the file of an orb in a folder of them. A version that
// leaves numbers open is the first that fits.
func orbFile(name, version string) string {
	switch dots := strings.Count(version, "."); {
	case version == "volatile":
		version = "1.0.0"
	case !strings.HasPrefix(version, "dev:"):
		version += strings.Repeat(".0", max(0, 2-dots))
	}
	return strings.ReplaceAll(name, "/", "__") + "@" + version + ".yml"
}

// fetch asks the registry for an orb and reads it.
func (c *compiler) fetch(ref string, at *node) *node {
	notFound := func(cause error) {
		e := c.fail(at, "CFG025", "Cannot find %s in the orb registry. Check that the namespace, orb name and version are correct.", ref)
		e.cause, e.Hint = cause, c.orbHint(ref)
	}
	if c.o.Orbs == nil {
		notFound(fmt.Errorf("no orbs here: %w", ci.ErrNotFound))
		return nil
	}
	resolved, content, err := c.o.Orbs.Orb(c.ctx, ref)
	switch {
	case errors.Is(err, ci.ErrNotFound):
		notFound(err)
		return nil
	case errors.Is(err, ci.ErrDenied), errors.Is(err, ci.ErrInvalid):
		c.fail(at, "CFG025", "Orb %s not loaded: %v", ref, err).cause = err
		return nil
	case err != nil:
		c.fault = fmt.Errorf("resolve orb %s: %w", ref, err)
		c.dead = true
		return nil
	}
	if resolved == "" {
		resolved = ref
	}
	c.resolved[ref] = resolved
	if root := c.o.Cache.get(resolved, string(content), c.limits); root != nil {
		return root
	}
	before := c.failures
	l := c.loader(&source{file: "orb " + resolved, orb: resolved, text: string(content)})
	l.warn = func(*Error) {}
	root := l.load()
	if root == nil || c.failures > before {
		return nil
	}
	if root.kind != mapKind {
		c.wrongKind(root, "orb "+resolved, "Mapping")
		return nil
	}
	c.checkSpace(root, orbKeys, "orb "+resolved)
	if c.failures == before {
		c.o.Cache.put(resolved, string(content), root)
	}
	return root
}
