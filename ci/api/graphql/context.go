package graphql

import (
	"context"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// contexts lists those of an organisation, if the caller may see them.
func (c *call) contexts(ctx context.Context, org string) ([]ci.Context, error) {
	if c.cfg.Contexts == nil {
		return nil, errNoContexts()
	}
	if err := c.may(ctx, org, false); err != nil {
		return nil, err
	}
	return c.cfg.Contexts.Contexts(ctx, org)
}

func errNoContexts() error { return fmt.Errorf("this installation has no contexts: %w", ci.ErrInvalid) }

// context returns a context that the caller may see, or change.
func (c *call) context(ctx context.Context, id string, write bool) (ci.Context, error) {
	if c.cfg.Contexts == nil || c.cfg.Variables == nil {
		return ci.Context{}, errNoContexts()
	}
	x, err := c.cfg.Contexts.Context(ctx, ci.ContextID(strings.ToLower(id)))
	if err != nil {
		return x, err
	}
	if err := c.may(ctx, x.Org, false); err != nil { // it may not know that there is one
		return x, fmt.Errorf("context %.60s: %w", id, ci.ErrNotFound)
	}
	if write {
		err = c.may(ctx, x.Org, true)
	}
	return x, err
}

func (t *types) contextFields() map[string]field {
	variable := &object{"ContextResource", map[string]field{
		"variable":       plain(func(v ci.Variable) any { return v.Name }),
		"createdAt":      plain(func(v ci.Variable) any { return v.Created }),
		"updatedAt":      plain(func(v ci.Variable) any { return v.Updated }),
		"truncatedValue": plain(func(v ci.Variable) any { return v.Masked }),
	}}
	return map[string]field{
		"id":        plain(func(x ci.Context) any { return string(x.ID) }),
		"name":      plain(func(x ci.Context) any { return x.Name }),
		"createdAt": plain(func(x ci.Context) any { return x.Created }),
		"resources": {of: variable, resolve: on(func(ctx context.Context, c *call, x ci.Context, _ args) (any, error) {
			if c.cfg.Variables == nil {
				return nil, errNoContexts()
			}
			list, err := c.cfg.Variables.Variables(ctx, ci.Holder{Context: x.ID})
			return many(list), err
		})},
	}
}

// contextField is the query for one context.
func (t *types) contextField() field {
	return field{of: t.context, args: []arg{{"id", "ID!"}}, resolve: func(ctx context.Context, c *call, _ any, a args) (any, error) {
		return absent(c.context(ctx, a.text("id"), false))
	}}
}

// contextMutations are what the classic CLI uses when it does not find the
// REST API. It reads error.type without looking whether there is an error, so
// error is never null and type is "" when all went well.
func (t *types) contextMutations() map[string]field {
	change := func(name string, do func(ctx context.Context, c *call, a args) (any, error)) field {
		input := strings.ToUpper(name[:1]) + name[1:] + "Input!"
		f := t.mutation(name, "context", t.context, []arg{{"input", input}}, func(ctx context.Context, c *call, a args) (any, error) {
			in := args{} // the CLI writes the names as Go does
			m, _ := a["input"].(map[string]any)
			for k, v := range m {
				in[strings.ToLower(k)] = v
			}
			return do(ctx, c, in)
		}, map[string]field{
			"clientMutationId": {resolve: constant(nil)},
		})
		f.of.fields["error"] = part(t.problem, func(o outcome) any {
			if len(o.problems) > 0 {
				return problem{o.problems[0].message, o.problems[0].typ + ": " + o.problems[0].message}
			}
			return problem{}
		})
		return f
	}
	return map[string]field{
		"createContext": change("createContext", func(ctx context.Context, c *call, in args) (any, error) {
			org, err := c.organisation(ctx, args{"id": in.text("ownerid")})
			if err != nil {
				return nil, err
			}
			if err := c.may(ctx, org, true); err != nil {
				return nil, err
			}
			if c.cfg.Contexts == nil {
				return nil, errNoContexts()
			}
			return c.cfg.Contexts.CreateContext(ctx, org, in.text("contextname"), c.by)
		}),
		"deleteContext": failing(change("deleteContext", func(ctx context.Context, c *call, in args) (any, error) {
			x, err := c.context(ctx, in.text("contextid"), true)
			if err != nil {
				return nil, err
			}
			return nil, c.cfg.Contexts.DeleteContext(ctx, x.ID, c.by)
		})),
		"storeEnvironmentVariable": change("storeEnvironmentVariable", func(ctx context.Context, c *call, in args) (any, error) {
			x, err := c.context(ctx, in.text("contextid"), true)
			if err != nil {
				return nil, err
			}
			_, err = c.cfg.Variables.SetVariable(ctx, ci.Holder{Context: x.ID}, in.variable(), in.text("value"), c.by)
			return x, err
		}),
		"removeEnvironmentVariable": failing(change("removeEnvironmentVariable", func(ctx context.Context, c *call, in args) (any, error) {
			x, err := c.context(ctx, in.text("contextid"), true)
			if err != nil {
				return nil, err
			}
			return x, c.cfg.Variables.DeleteVariable(ctx, ci.Holder{Context: x.ID}, in.variable(), c.by)
		})),
	}
}

// variable is the name of the variable, which has two names itself.
func (a args) variable() string {
	if s := a.text("variable"); s != "" {
		return s
	}
	return a.text("name")
}

// failing makes the problems of a mutation errors of the whole reply, for
// payloads whose error nobody reads.
func failing(f field) field {
	do := f.resolve
	f.resolve = func(ctx context.Context, c *call, parent any, a args) (any, error) {
		v, err := do(ctx, c, parent, a)
		if o, ok := v.(outcome); ok && err == nil && len(o.problems) > 0 {
			return nil, fmt.Errorf("%s: %w", o.problems[0].message, ci.ErrInvalid)
		}
		return v, err
	}
	return f
}
