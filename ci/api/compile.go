package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// compileRoutes are the operations that take a configuration in the request.
func compileRoutes() []route {
	return []route{
		{
			method: "POST", path: "/compile-config-with-defaults", summary: "Compile a configuration that is not committed", tag: "Config",
			status: 200, most: maxConfig, request: compileRequest{}, response: compiled{}, serve: (*call).compile,
		}, {
			method: "POST", path: "/pipeline/continue", summary: "Give a setup pipeline its configuration; the key is the right to", tag: "Pipeline",
			status: 200, open: true, most: maxConfig, request: continueRequest{}, response: message{}, serve: (*call).continuePipeline,
		},
	}
}

// A compileRequest asks for a compilation.
type compileRequest struct {
	Config  string         `json:"config_yaml"`
	Options compileOptions `json:"options,omitempty"`
}

type compileOptions struct {
	Owner      string         `json:"owner_id,omitempty"`
	Parameters map[string]any `json:"pipeline_parameters,omitempty"`
	Values     map[string]any `json:"pipeline_values,omitempty"`
}

// A compiled configuration, or why it is none. That is no error of the request:
// clients look for it in a good reply.
type compiled struct {
	Valid  bool           `json:"valid"`
	Source string         `json:"source-yaml"`
	Output string         `json:"output-yaml"`
	Errors []compileError `json:"errors"`
}

type compileError struct {
	Message string `json:"message"`
}

// compile answers an empty request with 400, nothing else: by that the classic
// command line finds out whether it is this that it talks to. A 404 makes it
// ask GraphQL instead, a 200 makes it give up.
func (c *call) compile() (any, error) {
	if c.cfg.Chapters.Compile == nil {
		return nil, absent("compiler for configurations in requests")
	}
	var req compileRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if strings.TrimSpace(req.Config) == "" {
		return nil, missing("config_yaml")
	}
	var org string
	var err error
	if req.Options.Owner != "" {
		if org, err = c.orgNamed(req.Options.Owner, false); err != nil {
			return nil, err
		}
	}
	var expanded string
	err = c.gate.Compile(c.by, func() (err error) {
		expanded, err = c.cfg.Chapters.Compile(c.r.Context(), CompileRequest{
			Source: req.Config, Org: org, Parameters: plainMap(req.Options.Parameters), Values: plainMap(req.Options.Values),
		})
		return err
	})
	out := compiled{Valid: err == nil, Source: req.Config, Output: expanded, Errors: []compileError{}}
	if err == nil {
		return out, nil
	}
	// An orb that does not exist is the configuration's fault, too.
	if !errors.Is(err, ci.ErrInvalid) && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	out.Output = ""
	for _, text := range problems(err) {
		out.Errors = append(out.Errors, compileError{text})
	}
	return out, nil
}

// problems returns the texts of the errors that err joins, or its own, without
// the word that is for programs.
func problems(err error) []string {
	var texts []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts := joined.Unwrap()
		whole := make([]string, len(parts))
		for i, e := range parts {
			whole[i] = e.Error()
			texts = append(texts, problems(e)...)
		}
		if strings.Join(whole, "\n") == err.Error() {
			return texts
		}
	}
	return []string{strings.TrimSuffix(err.Error(), ": "+ci.ErrInvalid.Error())}
}

// plainMap gives the numbers of JSON the types that values of pipelines have.
func plainMap(in map[string]any) map[string]any {
	for name, v := range in {
		in[name] = plain(v)
	}
	return in
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case map[string]any:
		return plainMap(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

// A continueRequest carries the second configuration of a setup pipeline.
type continueRequest struct {
	Key        string         `json:"continuation-key"`
	Config     string         `json:"configuration"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

func (c *call) continuePipeline() (any, error) {
	if c.cfg.Chapters.Continue == nil {
		return nil, absent("continuation of pipelines")
	}
	var req continueRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	switch {
	case req.Key == "":
		return nil, missing("continuation-key")
	case strings.TrimSpace(req.Config) == "":
		return nil, missing("configuration")
	}
	parameters, err := typed(req.Parameters)
	if err != nil {
		return nil, err
	}
	err = c.cfg.Chapters.Continue(c.r.Context(), req.Key, req.Config, parameters)
	if errors.Is(err, ci.ErrNotFound) || errors.Is(err, ci.ErrDenied) {
		return nil, refuse(http.StatusNotFound, "No pipeline waits for a continuation with this key.")
	}
	if err != nil {
		return nil, err
	}
	return message{"Pipeline successfully continued."}, nil
}
