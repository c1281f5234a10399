package config

import (
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// stepSpecs converts expanded steps.
func (c *compiler) stepSpecs(steps *node) []ci.StepSpec {
	out := make([]ci.StepSpec, 0, len(steps.items))
	for _, s := range steps.items {
		if c.dead {
			return out
		}
		if s.kind == stringKind {
			out = c.appendStep(out, s.text, mapping(nil, nil), s)
		} else if s.kind == mapKind && len(s.fields) == 1 {
			v := s.fields[0].value
			if v.isNull() {
				v = mapping(nil, nil)
			}
			out = c.appendStep(out, s.fields[0].name(), v, s)
		}
	}
	return out
}

// appendStep converts one step. Steps that only mean something elsewhere are
// left out; the warnings say so.
func (c *compiler) appendStep(out []ci.StepSpec, kind string, v, at *node) []ci.StepSpec {
	s := ci.StepSpec{Kind: ci.StepKind(kind), Name: v.get("name").written(), When: when(v.get("when"))}
	switch s.Kind {
	case ci.StepRun, ci.StepDeploy:
		c.runSpec(&s, v)
	case ci.StepCheckout:
		s.Path, s.Method = c.path(v, "path"), v.get("method").str()
		s.Depth, _ = v.get("depth").integer()
		switch s.Method {
		case "", "full", "blobless", "shallow":
		default:
			e := c.fail(v.get("method"), "CFG013", "the method of checkout is full, blobless or shallow, found: %s", v.get("method").show())
			e.Hint = suggest(s.Method, []string{"full", "blobless", "shallow"}, "")
		}
	case ci.StepSaveCache:
		s.Keys, s.Paths = c.lines(v.field("key")), c.lines(v.field("paths"))
	case ci.StepRestoreCache:
		s.Keys = append(c.lines(v.field("key")), c.lines(v.field("keys"))...)
	case ci.StepArtifacts:
		s.Path, s.Destination = c.path(v, "path"), c.path(v, "destination")
	case ci.StepTestResults:
		s.Path = c.path(v, "path")
	case ci.StepPersist:
		s.Path, s.Paths = c.path(v, "root"), c.lines(v.field("paths"))
	case ci.StepAttach:
		s.Path = c.path(v, "at")
	case ci.StepSSHKeys:
		s.Fingerprints = c.lines(v.field("fingerprints"))
	case ci.StepRemoteDocker:
		s.LayerCaching, s.Version = truthy(v.get("docker_layer_caching")), v.get("version").written()
	default:
		c.warn(at, "CFG910", "the step '%s' does nothing in this installation", kind)
		return out
	}
	return append(out, s)
}

// when converts the condition of a step.
func when(v *node) ci.When {
	switch v.str() {
	case "on_fail":
		return ci.OnFail
	case "always":
		return ci.Always
	}
	return ci.OnSuccess
}

// path reads a key that is a path. A bare ~ is null in YAML but means home.
func (c *compiler) path(v *node, key string) string {
	f := v.field(key)
	if f.key != nil && f.value.isNull() && f.value.raw == "~" {
		return "~"
	}
	return c.textField(f.value, f)
}

// runSpec reads the keys of run and deploy.
func (c *compiler) runSpec(s *ci.StepSpec, v *node) {
	s.Command = c.textField(v.get("command"), v.field("command"))
	s.Shell = v.get("shell").written()
	s.WorkingDirectory = c.path(v, "working_directory")
	s.Environment = c.vars(v.get("environment"))
	s.NoOutputTimeout = c.duration(v.field("no_output_timeout"))
	s.AutoRerunDelay = c.duration(v.field("auto_rerun_delay"))
	if b := v.get("background"); !b.isNull() {
		s.Background = truthy(b) && b.text != "false"
	}
	if m := v.get("max_auto_reruns"); !m.isNull() {
		n, ok := m.integer()
		if !ok || n < 0 || n > 5 {
			c.fail(m, "CFG013", "max_auto_reruns has to be a number from 1 to 5, found: %s", m.show()).Hint = "write a number from 1 to 5"
		}
		s.MaxAutoReruns = n
	}
}

// duration reads a time; none and an empty text are 0.
func (c *compiler) duration(f field) time.Duration {
	if f.value.isNull() || f.value.str() == "" && f.value.isScalar() {
		return 0
	}
	if d, ok := parseDuration(f.value.written()); ok && f.value.isScalar() {
		return d
	}
	c.fail(f.value, "CFG059", "%s is not a time, found: %s", f.name(), f.value.show()).Hint = "write it like 20m, 1.5h or 90s"
	return 0
}
