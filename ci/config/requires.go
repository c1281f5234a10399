package config

import (
	"slices"
	"strings"
)

// connect resolves the requirements of a workflow's jobs and checks the graph.
func (c *compiler) connect(w *workflow) {
	names := newNames(w)
	for _, k := range w.calls {
		c.within("job", k.invoked, func() { c.connectCall(w, k, names) })
		if c.stopped() {
			return
		}
	}
	c.cycles(w)
}

// names finds the jobs of one workflow by what others may call them.
type names struct {
	base  map[string][]*call // the name before suffixes
	alias map[string][]*call // of a matrix
	final map[string]*call
}

func newNames(w *workflow) *names {
	n := &names{make(map[string][]*call), make(map[string][]*call), make(map[string]*call)}
	for _, k := range w.calls {
		n.base[k.base] = append(n.base[k.base], k)
		n.final[k.name] = k
		if k.alias != "" {
			n.alias[k.alias] = append(n.alias[k.alias], k)
		}
	}
	return n
}

// all returns everything that may be required, for suggestions.
func (n *names) all() []string {
	known := keys(n.base)
	for _, m := range []map[string][]*call{n.alias} {
		known = append(known, keys(m)...)
	}
	return append(known, keys(n.final)...)
}

// connectCall resolves the requirements of one job.
func (c *compiler) connectCall(w *workflow, k *call, n *names) {
	have := make(map[*call]bool)
	for _, r := range k.requires {
		name, statuses := r, (*node)(nil)
		if r.kind == mapKind {
			name, statuses = r.fields[0].key, r.fields[0].value
			c.statuses(statuses)
		}
		for _, other := range c.required(w, k, n, name) {
			if have[other] {
				continue
			}
			have[other] = true
			if c.edges++; c.edges > c.limits.Edges {
				c.abort(r, "CFG003", "the workflows have more than %d requirements, the limit called 'edges'", c.limits.Edges)
				return
			}
			k.edges = append(k.edges, edge{other, statuses, r})
		}
	}
}

// required returns the jobs that a requirement names, or reports it.
func (c *compiler) required(w *workflow, k *call, n *names, at *node) []*call {
	name := at.text
	others := without(n.base[name], k)
	switch {
	case len(others) == 1:
		return others
	case len(others) > 1 && (c.legacy || sameAlias(others, name)):
		return others
	}
	if len(others) == 0 {
		if cells := without(n.alias[name], k); len(cells) > 0 {
			return cells
		}
		if other := n.final[name]; other != nil && other != k {
			return []*call{other}
		}
		if w.empty[name] {
			return nil
		}
	}
	if len(others) == 0 && n.final[name] == k {
		c.fail(at, "CFG052", "Job '%s' requires itself", k.base).Hint = "remove the requirement"
		return nil
	}
	code := "CFG051"
	if len(others) == 0 {
		code = "CFG050"
	}
	e := c.fail(at, code, "Job '%s' requires '%s', which is the name of %d other jobs in workflow '%s'", k.base, name, len(others), w.name)
	if len(others) > 1 {
		var full []string
		for _, o := range others {
			full = append(full, o.name)
		}
		e.Hint = "they end up as " + clip(strings.Join(full, ", "), 200) + "; give each a name"
		return nil
	}
	for _, o := range w.calls {
		if o.invoked == name && o != k {
			e.Hint = "in this workflow the job is called '" + o.base + "'"
			return nil
		}
	}
	if e.Hint = suggest(name, n.all(), ""); e.Hint == "" && code == "CFG050" {
		e.Hint = "the jobs of this workflow are " + clip(strings.Join(keys(n.base), ", "), 200)
	}
	return nil
}

// sameAlias reports whether all jobs are cells of matrices with that alias.
func sameAlias(calls []*call, alias string) bool {
	return !slices.ContainsFunc(calls, func(k *call) bool { return k.alias != alias })
}

func without(calls []*call, k *call) []*call {
	if !slices.Contains(calls, k) {
		return calls
	}
	return slices.DeleteFunc(slices.Clone(calls), func(o *call) bool { return o == k })
}

// requireStatuses are the outcomes that a requirement may name.
var requireStatuses = []string{"success", "failed", "canceled", "unauthorized", "not_run", "terminal"}

// statuses checks the outcomes of a requirement: a text or a list of texts.
func (c *compiler) statuses(v *node) {
	items := []*node{v}
	if v.kind == listKind {
		items = v.items
	}
	for _, item := range items {
		if !slices.Contains(requireStatuses, item.str()) {
			e := c.fail(item, "CFG013", "a requirement may name the statuses %s, found: %s", strings.Join(requireStatuses, ", "), item.show())
			e.Hint = suggest(item.str(), requireStatuses, "")
		}
	}
	if len(items) == 0 {
		c.fail(v, "CFG013", "a requirement needs at least one status").Hint = "one of " + strings.Join(requireStatuses, ", ")
	}
}

// cycles reports jobs that wait for each other.
func (c *compiler) cycles(w *workflow) {
	const (
		open = 1
		done = 2
	)
	type frame struct {
		call *call
		next int
	}
	state := make(map[*call]int, len(w.calls))
	for _, start := range w.calls {
		if state[start] != 0 {
			continue
		}
		state[start] = open
		stack := []frame{{call: start}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.call.edges) {
				state[top.call] = done
				stack = stack[:len(stack)-1]
				continue
			}
			e := top.call.edges[top.next]
			top.next++
			switch state[e.call] {
			case 0:
				state[e.call] = open
				stack = append(stack, frame{call: e.call})
			case open:
				var way []string
				for _, f := range stack {
					if len(way) > 0 || f.call == e.call {
						way = append(way, f.call.name)
					}
				}
				c.fail(e.at, "CFG052", "jobs of workflow '%s' require each other: %s", w.name, clip(strings.Join(append(way, e.call.name), " -> "), 400)).Hint =
					"one of these requirements has to go"
				return
			}
		}
	}
}
