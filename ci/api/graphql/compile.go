package graphql

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// A compiled is a text and what became of it.
type compiled struct {
	source, output string
	problems       []problem
}

func (t *types) compileQueries() map[string]field {
	result := &object{"Compiled", map[string]field{
		"valid":      plain(func(c compiled) any { return len(c.problems) == 0 }),
		"errors":     part(t.problem, func(c compiled) any { return many(c.problems) }),
		"sourceYaml": plain(func(c compiled) any { return c.source }),
		"outputYaml": plain(func(c compiled) any { return c.output }),
	}}
	return map[string]field{
		"orbConfig": {of: result, args: []arg{{"orbYaml", "String!"}, {"ownerId", "UUID"}}, resolve: orbConfig},
		"buildConfig": {of: result, args: []arg{
			{"configYaml", "String!"}, {"pipelineValues", "[StringKeyVal!]"}, {"pipelineParametersJson", "String"},
			{"next", "Boolean"}, {"orgId", "UUID"}, {"orgSlug", "String"},
		}, resolve: buildConfig},
	}
}

// owner returns the slug of the organisation for which something is compiled,
// "" when none is named.
func (c *call) owner(ctx context.Context, id, slug string) (string, error) {
	if id != "" {
		return c.organisation(ctx, args{"id": id})
	}
	if slug == "" {
		return "", nil
	}
	host, name, _ := strings.Cut(slug, "/")
	for short, long := range hosts {
		if host == short || strings.EqualFold(host, long) {
			return c.organisation(ctx, args{"name": name, "vcsType": long})
		}
	}
	return "", fmt.Errorf("organization %.100q: its slug is like gh/acme: %w", slug, ci.ErrInvalid)
}

// result makes a reply of what a compiler says.
func result(source, output string, err error) (any, error) {
	if err == nil {
		return compiled{source: source, output: output}, nil
	}
	list, known := problems(err)
	if !known {
		return nil, err
	}
	return compiled{source: source, problems: list}, nil
}

func orbConfig(ctx context.Context, c *call, _ any, a args) (any, error) {
	if c.cfg.CompileOrb == nil {
		return nil, fmt.Errorf("this installation cannot check orbs: %w", ci.ErrInvalid)
	}
	org, err := c.owner(ctx, a.text("ownerId"), "")
	if err != nil {
		return nil, err
	}
	output, err := c.compile(ctx, func(ctx context.Context) (string, error) { return c.cfg.CompileOrb(ctx, a.text("orbYaml"), org) })
	return result(a.text("orbYaml"), output, err)
}

func buildConfig(ctx context.Context, c *call, _ any, a args) (any, error) {
	if c.cfg.Compile == nil {
		return nil, fmt.Errorf("this installation compiles nothing on request: %w", ci.ErrInvalid)
	}
	org, err := c.owner(ctx, a.text("orgId"), a.text("orgSlug"))
	if err != nil {
		return nil, err
	}
	r := api.CompileRequest{Source: a.text("configYaml"), Org: org, Values: map[string]any{}}
	if text := a.text("pipelineParametersJson"); text != "" {
		if err := json.Unmarshal([]byte(text), &r.Parameters); err != nil {
			return nil, fmt.Errorf("pipelineParametersJson is not a JSON object: %w", ci.ErrInvalid)
		}
	}
	list, _ := a["pipelineValues"].([]any)
	for _, v := range list {
		pair, _ := v.(map[string]any)
		if key, _ := pair["key"].(string); key != "" {
			r.Values[key] = number(pair["val"])
		}
	}
	output, err := c.compile(ctx, func(ctx context.Context) (string, error) { return c.cfg.Compile(ctx, r) })
	return result(r.Source, output, err)
}

// number turns a number of JSON into one of Go.
func number(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, _ := n.Float64()
	return f
}
