package config

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// pipelineDefaults are the pipeline values of a compile without a pipeline. A
// value that the caller gives replaces the one here.
var pipelineDefaults = map[string]string{
	"id": "00000000-0000-0000-0000-000000000000", "number": "1",
	"project.git_url": "https://github.com/example/project", "project.type": "github",
	"project.slug": "gh/example/project", "project.id": "00000000-0000-0000-0000-000000000000",
	"organization.id": "00000000-0000-0000-0000-000000000000",
	"git.tag":         "", "git.branch": "", "git.revision": "0000000000000000000000000000000000000000",
	"git.base_revision": "", "git.branch.is_default": "false", "git.commit.url": "",
	"git.repo_url": "", "git.repo_owner": "", "git.repo_name": "", "git.repo_id": "",
	"git.commit.subject": "", "git.commit.body": "", "git.commit.author_name": "",
	"git.commit.author_email": "", "git.commit.author_login": "", "git.commit.author_avatar_url": "",
	"in_setup": "false", "trigger_source": "webhook", "name": "",
	"schedule.name": "", "schedule.id": "", "definition.id": "", "integration_source": "",
	"trigger.received_at": "", "trigger.id": "", "trigger.type": "", "trigger.name": "",
	"config.repository.name": "", "config.repository.url": "", "config.file_path": "",
	"config.ref": "", "config.sha": "", "event.name": "", "event.action": "",
	"deploy.component_name": "", "deploy.environment_name": "", "deploy.namespace": "",
	"deploy.target_version": "", "deploy.current_version": "", "template_id": "",
	"user.id": "", "user.login": "",
}

// openGroups begin the names of values that depend on the kind of trigger;
// one that is not there is empty.
var openGroups = []string{"trigger_parameters.", "event.", "deploy.", "config.", "git.commit."}

// pipelineValues turns the caller's values into nodes.
func (c *compiler) pipelineValues() {
	c.pipeline = make(map[string]*node, len(c.o.Values))
	for name, v := range c.o.Values {
		n, ok := fromGo(v)
		if !ok {
			c.fail(nil, "CFG035", "the pipeline value %s has a value of type %T", name, v)
			continue
		}
		c.pipeline[strings.TrimPrefix(name, "pipeline.")] = n
	}
	c.branch, c.tag = c.pipeline["git.branch"].str(), c.pipeline["git.tag"].str()
}

// pipelineValue looks up a name below pipeline.
func (c *compiler) pipelineValue(name string, sc *scope, at *node, raw string) (*node, bool) {
	if rest, ok := strings.CutPrefix(name, "parameters."); ok {
		if sc.space.orb {
			e := c.fail(c.locate(at, raw), "CFG035", "Unknown variable: pipeline.%s", name)
			e.Hint = "pipeline parameters are not known inside an orb; pass the value as an argument"
			return nil, false
		}
		if v, ok := c.params[rest]; ok {
			return v, true
		}
		e := c.fail(c.locate(at, raw), "CFG035", "Unknown variable: pipeline.%s", name)
		e.Hint = suggest(rest, keys(c.params), "pipeline.parameters.")
		return nil, false
	}
	if name == "git.branch" || name == "git.tag" || strings.HasPrefix(name, "git.commit.") {
		c.untrusted(at, name)
	}
	if v, ok := c.pipeline[name]; ok {
		return v, true
	}
	if v, ok := pipelineDefaults[name]; ok {
		switch {
		case name == "number":
			return scalar(intKind, v), true
		case v == "true" || v == "false":
			return scalar(boolKind, v), true
		}
		return text(v, nil), true
	}
	for _, group := range openGroups {
		if strings.HasPrefix(name, group) {
			return text("", nil), true
		}
	}
	e := c.fail(c.locate(at, raw), "CFG035", "Unknown variable: pipeline.%s", clip(name, 80))
	e.Hint = suggest(name, keys(pipelineDefaults), "pipeline.")
	return nil, false
}

// fromGo makes a node of a value that a caller or a JSON decoder made.
func fromGo(v any) (*node, bool) {
	switch v := v.(type) {
	case nil:
		return scalar(nullKind, ""), true
	case string:
		return text(v, nil), true
	case bool:
		return scalar(boolKind, strconv.FormatBool(v)), true
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return scalar(intKind, fmt.Sprint(v)), true
	case float32:
		return fromGo(float64(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return scalar(intKind, strconv.FormatInt(int64(v), 10)), true
		}
		return scalar(floatKind, floatText(v)), true
	case json.Number:
		k, s := resolve(v.String())
		return scalar(k, s), k == intKind || k == floatKind
	case fmt.Stringer:
		return text(v.String(), nil), true
	}
	return nil, false
}

// given returns what a caller gave for the parameter. With text, text that says
// a boolean or an integer is one where that is what was declared.
func (p *param) given(v any, text bool) any {
	said, ok := v.(string)
	if !ok || !text {
		return v
	}
	switch p.typ {
	case "boolean":
		if said == "true" || said == "false" {
			return said == "true"
		}
	case "integer":
		if n, err := strconv.ParseInt(said, 10, 64); err == nil {
			return n
		}
	}
	return v
}

// pipelineParameters declares the configuration's own parameters and takes
// their values from the caller.
func (c *compiler) pipelineParameters(root *node) {
	decl := c.declare(root, c.main, "pipeline")
	c.params = make(map[string]*node, len(decl.params))
	for i := range decl.params {
		p := &decl.params[i]
		given, ok := c.o.Parameters[p.name]
		if !ok {
			if p.def == nil {
				c.fail(p.key, "CFG033", "the pipeline parameter '%s' has no default", p.name)
				continue
			}
			c.params[p.name] = p.def
			continue
		}
		n, known := fromGo(p.given(given, c.o.Text))
		if !known {
			c.fail(p.key, "CFG032", "the value given for the pipeline parameter '%s' has the type %T", p.name, given)
		} else if !c.fits(p, n) {
			c.fail(p.key, "CFG032", "%s", typeError(p, n)).Hint = p.allowed()
		} else {
			c.params[p.name] = n
			continue
		}
		if p.def != nil {
			c.params[p.name] = p.def
		}
	}
	var unknown []string
	for name := range c.o.Parameters {
		if decl.param(name) == nil {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 && !c.legacy {
		sort.Strings(unknown)
		at := root.field("parameters").key
		e := c.fail(at, "CFG031", "Unexpected argument(s): %s", strings.Join(unknown, ", "))
		e.Hint = suggest(unknown[0], decl.names(), "")
		if e.Hint == "" {
			e.Hint = "the configuration declares no such pipeline parameter"
		}
	}
}
