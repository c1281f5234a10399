package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// variableRoutes are the operations on the variables of projects and contexts.
// Those of a project are shown to who may change it only: the mask leaves four
// characters to be seen, and an open project is everybody's to read.
func variableRoutes() []route {
	const (
		ofProject = "/project/{project_slug}/envvar"
		ofContext = "/context/{context_id}/environment-variable"
	)
	return []route{
		{
			method: "GET", path: ofProject, summary: "The environment variables of a project, masked", tag: "Project",
			query: []string{pageToken}, status: 200, response: page[projectVariable]{}, serve: (*call).listProjectVariables,
		}, {
			method: "POST", path: ofProject, summary: "Make or replace an environment variable of a project", tag: "Project",
			status: 201, request: variableRequest{}, response: projectVariable{}, serve: (*call).setProjectVariable,
		}, {
			method: "GET", path: ofProject + "/{name}", summary: "An environment variable of a project, masked", tag: "Project",
			status: 200, response: projectVariable{}, serve: (*call).getProjectVariable,
		}, {
			method: "DELETE", path: ofProject + "/{name}", summary: "Delete an environment variable of a project", tag: "Project",
			status: 200, response: message{}, serve: (*call).deleteProjectVariable,
		}, {
			method: "GET", path: ofContext, summary: "The environment variables of a context, without values", tag: "Context",
			query: []string{pageToken}, status: 200, response: page[contextVariable]{}, serve: (*call).listContextVariables,
		}, {
			method: "PUT", path: ofContext + "/{env_var_name}", summary: "Make or replace an environment variable of a context", tag: "Context",
			status: 200, request: valueRequest{}, response: contextVariable{}, serve: (*call).setContextVariable,
		}, {
			method: "DELETE", path: ofContext + "/{env_var_name}", summary: "Delete an environment variable of a context", tag: "Context",
			status: 200, response: message{}, serve: (*call).deleteContextVariable,
		},
	}
}

// A projectVariable is a [ci.Variable] of a project on the wire.
type projectVariable struct {
	Name       string `json:"name"`
	Value      string `json:"value"`
	Created    stamp  `json:"created-at"`
	CreatedToo stamp  `json:"created_at"`
}

func projectVariableOf(v ci.Variable) projectVariable {
	return projectVariable{v.Name, v.Masked, stampOf(v.Created), stampOf(v.Created)}
}

// A contextVariable is a [ci.Variable] of a context on the wire.
type contextVariable struct {
	Name    string `json:"variable"`
	Context string `json:"context_id"`
	Created stamp  `json:"created_at"`
	Updated stamp  `json:"updated_at"`
	Value   string `json:"truncated_value"` // its end; clients put the mask before it
}

func contextVariableOf(id ci.ContextID) func(ci.Variable) contextVariable {
	return func(v ci.Variable) contextVariable {
		return contextVariable{v.Name, string(id), stampOf(v.Created), stampOf(v.Updated), strings.TrimPrefix(v.Masked, "xxxx")}
	}
}

func nameOf(v ci.Variable) string { return v.Name }

// ofProject returns the project of the address as a holder of variables.
func (c *call) ofProject() (ci.Holder, error) {
	p, err := c.project(true)
	if err == nil && c.cfg.Chapters.Variables == nil {
		err = absent("stored variables")
	}
	return ci.Holder{Project: p.ID}, err
}

// ofContext returns the context of the address as a holder of variables.
func (c *call) ofContext(write bool) (ci.Holder, error) {
	x, err := c.context(write)
	if err == nil && c.cfg.Chapters.Variables == nil {
		err = absent("stored variables")
	}
	return ci.Holder{Context: x.ID}, err
}

func (c *call) projectVariables() ([]ci.Variable, error) {
	of, err := c.ofProject()
	if err != nil {
		return nil, err
	}
	return c.cfg.Chapters.Variables.Variables(c.r.Context(), of)
}

func (c *call) listProjectVariables() (any, error) {
	all, err := c.projectVariables()
	if err != nil {
		return nil, err
	}
	return keyed(c, all, nameOf, projectVariableOf)
}

// A variableRequest is a variable with its value.
type variableRequest struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

func (c *call) setProjectVariable() (any, error) {
	of, err := c.ofProject()
	if err != nil {
		return nil, err
	}
	var req variableRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	switch {
	case req.Name == "":
		return nil, missing("name")
	case req.Value == nil:
		return nil, missing("value")
	}
	v, err := c.cfg.Chapters.Variables.SetVariable(c.r.Context(), of, req.Name, *req.Value, c.by)
	if err != nil {
		return nil, err
	}
	return projectVariableOf(v), nil
}

// noVariable is what clients know the answer by.
func noVariable() error { return refuse(http.StatusNotFound, "Environment variable not found.") }

func (c *call) getProjectVariable() (any, error) {
	all, err := c.projectVariables()
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v.Name == c.r.PathValue("name") {
			return projectVariableOf(v), nil
		}
	}
	return nil, noVariable()
}

func (c *call) deleteProjectVariable() (any, error) {
	of, err := c.ofProject()
	if err != nil {
		return nil, err
	}
	return c.deleteVariable(of, c.r.PathValue("name"))
}

func (c *call) deleteVariable(of ci.Holder, name string) (any, error) {
	err := c.cfg.Chapters.Variables.DeleteVariable(c.r.Context(), of, name, c.by)
	if errors.Is(err, ci.ErrNotFound) {
		return nil, noVariable()
	}
	if err != nil {
		return nil, err
	}
	return message{"Environment variable deleted."}, nil
}

func (c *call) listContextVariables() (any, error) {
	of, err := c.ofContext(false)
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Chapters.Variables.Variables(c.r.Context(), of)
	if err != nil {
		return nil, err
	}
	return keyed(c, all, nameOf, contextVariableOf(of.Context))
}

// A valueRequest is the value of a variable whose name is in the address.
type valueRequest struct {
	Value *string `json:"value"`
}

func (c *call) setContextVariable() (any, error) {
	of, err := c.ofContext(true)
	if err != nil {
		return nil, err
	}
	var req valueRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Value == nil {
		return nil, missing("value")
	}
	v, err := c.cfg.Chapters.Variables.SetVariable(c.r.Context(), of, c.r.PathValue("env_var_name"), *req.Value, c.by)
	if err != nil {
		return nil, named(err, "Context")
	}
	return contextVariableOf(of.Context)(v), nil
}

func (c *call) deleteContextVariable() (any, error) {
	of, err := c.ofContext(true)
	if err != nil {
		return nil, err
	}
	return c.deleteVariable(of, c.r.PathValue("env_var_name"))
}
