package config

import (
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// spec makes the specification of a call's job, once for each body.
func (c *compiler) spec(k *call) *plannedSpec {
	if k.job.spec != nil {
		return k.job.spec
	}
	s := &plannedSpec{}
	k.job.spec = s
	c.within("job", k.invoked, func() { c.fillSpec(s, k.job.body, k.name) })
	return s
}

// fillSpec reads the keys of an expanded body.
func (c *compiler) fillSpec(s *plannedSpec, body *node, name string) {
	for _, f := range body.fields {
		v := f.value
		switch f.name() {
		case "docker":
			s.Executor.Kind = ci.ExecutorDocker
			s.Executor.Images = c.images(v, name)
		case "machine":
			s.Executor.Kind = ci.ExecutorMachine
			c.machine(s, v, name)
		case "macos":
			s.Executor.Kind = ci.ExecutorMacOS
			c.checkKeys(v, "macos", macosKeys, nil)
			s.Executor.Xcode = cmpOr(v.get("xcode").written(), v.written())
		case "resource_class":
			s.ResourceClass = c.textField(v, f)
		case "shell":
			s.Shell = c.textField(v, f)
		case "working_directory":
			s.WorkingDirectory = c.textField(v, f)
			if v.isNull() { // ~ alone is null in YAML
				s.WorkingDirectory = "~"
			}
		case "parallelism":
			s.Parallelism = c.parallelism(v)
		case "environment":
			s.Environment = c.vars(v)
		case "steps":
			s.Steps = c.stepSpecs(v)
		}
	}
}

// written is the text of a scalar as it was written, for values like xcode:
// 12.10 that people do not quote.
func (n *node) written() string {
	if !n.isScalar() {
		return ""
	}
	if n.raw != "" && n.kind != boolKind {
		return n.raw
	}
	return n.text
}

// textField returns the text of a scalar and reports lists and maps.
func (c *compiler) textField(v *node, f field) string {
	if v != nil && (v.kind == listKind || v.kind == mapKind) {
		c.wrongKind(v, f.name(), "String")
		return ""
	}
	return v.written()
}

// parallelism reads the number of nodes of a job.
func (c *compiler) parallelism(v *node) int {
	n, ok := v.integer()
	if !ok && v.kind == stringKind {
		var err error
		n, err = strconv.Atoi(strings.TrimSpace(v.text))
		ok = err == nil
	}
	switch {
	case !ok:
		c.wrongKind(v, "parallelism", "Integer").Hint = "a number like 4"
		return 1
	case n < 1:
		c.fail(v, "CFG013", "parallelism has to be at least 1, found: %d", n).Hint = "a number like 4"
		return 1
	case n > c.limits.Parallelism:
		c.fail(v, "CFG003", "parallelism is %d, more than the limit of %d called 'parallelism'", n, c.limits.Parallelism)
		return 1
	}
	return n
}

// images reads the containers of a Docker job.
func (c *compiler) images(v *node, job string) []ci.Image {
	if v.kind != listKind || len(v.items) == 0 {
		e := c.wrongKind(v, "docker of job "+job, "Sequence")
		e.Hint = "docker is a list: begin with - image:"
		return nil
	}
	out := make([]ci.Image, 0, len(v.items))
	for _, item := range v.items {
		if item.isNull() || item.kind != mapKind {
			c.wrongKind(item, "docker of job "+job, "Mapping")
			continue
		}
		c.checkKeys(item, "docker of job "+job, imageKeys, nil)
		image := item.field("image")
		if image.key == nil || image.value.str() == "" {
			c.fail(item, "CFG011", "required key [image] not found in docker of job %s", job).Hint = "write - image: cimg/base:stable"
			continue
		}
		out = append(out, ci.Image{
			Image: c.textField(image.value, image), Name: item.get("name").written(), User: item.get("user").written(),
			Entrypoint: c.words(item.field("entrypoint")), Command: c.words(item.field("command")),
			Environment: c.vars(item.get("environment")),
			Auth:        c.pairs(item.field("auth")), AWSAuth: c.pairs(item.field("aws_auth")),
		})
	}
	return out
}

// words reads a text or a list of texts as arguments. A text is split the way
// a shell splits words.
func (c *compiler) words(f field) []string {
	switch v := f.value; {
	case v.isNull():
		return nil
	case v.kind == listKind:
		return c.lines(f)
	case v.isScalar():
		words, ok := splitWords(v.written())
		if !ok {
			c.fail(v, "CFG012", "%s has a quote that is not closed", f.name()).Hint = "close the quote, or write a list of words"
		}
		return words
	}
	c.wrongKind(f.value, f.name(), "String or Sequence")
	return nil
}

// splitWords splits at blanks outside of quotes.
func splitWords(s string) (words []string, ok bool) {
	var b strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quote != 0 && ch == quote:
			quote = 0
		case quote != '\'' && ch == '\\' && i+1 < len(s) && (quote == 0 || s[i+1] == '"' || s[i+1] == '\\'):
			i++
			in = true
			b.WriteByte(s[i])
		case quote != 0:
			b.WriteByte(ch)
		case ch == '"' || ch == '\'':
			quote, in = ch, true
		case ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r':
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		default:
			in = true
			b.WriteByte(ch)
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words, quote == 0
}

// lines reads a text or a list of texts; lists within lists are flattened.
func (c *compiler) lines(f field) []string {
	var out []string
	for _, v := range patternList(f.value) {
		if !v.isScalar() {
			c.wrongKind(v, f.name(), "String")
			continue
		}
		out = append(out, v.written())
	}
	return out
}

// pairs reads a map of texts.
func (c *compiler) pairs(f field) map[string]string {
	if f.value.isNull() {
		return nil
	}
	if f.value.kind != mapKind {
		c.wrongKind(f.value, f.name(), "Mapping")
		return nil
	}
	out := make(map[string]string, len(f.value.fields))
	for _, g := range f.value.fields {
		out[g.name()] = c.textField(g.value, g)
	}
	return out
}

// vars reads an environment in any of its forms.
func (c *compiler) vars(v *node) []ci.Var {
	if v.isNull() {
		return nil
	}
	env := c.environment(nil, v)
	out := make([]ci.Var, 0, len(env))
	for _, f := range env {
		if name := f.name(); name == "" || strings.ContainsAny(name, "=\x00\n") {
			c.fail(f.key, "CFG014", "%q cannot be the name of an environment variable", clip(name, 60))
			continue
		}
		out = append(out, ci.Var{Name: f.name(), Value: variable(f.value)})
	}
	return out
}

// variable is the value of an environment variable. A boolean that came
// through << >> is 1 or 0, as the original has it.
func variable(v *node) string {
	if v.isNull() {
		return ""
	}
	if v.kind == boolKind && v.bound {
		if v.text == "true" {
			return "1"
		}
		return "0"
	}
	return v.text
}

// machine reads the machine key.
func (c *compiler) machine(s *plannedSpec, v *node, job string) {
	switch {
	case v.isNull():
	case v.kind == boolKind:
		if v.text != "true" {
			c.fail(v, "CFG013", "machine of job %s has to be true or a map, found: false", job).Hint = "write machine: true, or remove it"
		}
	case v.kind == stringKind:
		if v.text != "default" && v.text != "true" {
			s.Executor.Machine = v.text
		}
	case v.kind == mapKind:
		c.checkKeys(v, "machine of job "+job, machineKeys, nil)
		s.Executor.Machine = v.get("image").written()
		if s.Executor.Machine == "default" {
			s.Executor.Machine = ""
		}
		s.Executor.LayerCaching = truthy(v.get("docker_layer_caching"))
	default:
		c.wrongKind(v, "machine of job "+job, "Boolean or Mapping")
	}
}
