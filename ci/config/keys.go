package config

import (
	"slices"
	"strconv"
	"strings"
)

// The keys that each kind of map may have.
var (
	topKeys = []string{
		"version", "setup", "orbs", "commands", "executors", "parameters", "jobs", "job-groups",
		"workflows", "examples", "display", "description", "usage", "experimental", "notify", "build_agent",
	}
	orbKeys = []string{
		"version", "description", "orbs", "commands", "jobs", "executors", "examples", "display", "usage", "aliases",
	}
	parameterKeys = []string{"type", "default", "description", "enum"}
	commandKeys   = []string{"description", "parameters", "steps", "usage", "examples"}
	kindKeys      = []string{"docker", "machine", "macos"}
	executorKeys  = append([]string{
		"environment", "shell", "working_directory", "resource_class", "parameters", "description",
	}, kindKeys...)
	jobKeys = append([]string{
		"executor", "type", "description", "parameters", "steps", "shell", "working_directory",
		"environment", "parallelism", "resource_class", "branches", "circleci_ip_ranges", "retention",
		"plan_name", "validation", "key", "max_auto_reruns", "auto_rerun_delay", "usage", "examples", "display",
	}, kindKeys...)
	machineKeys  = []string{"image", "docker_layer_caching", "resource_class", "shell", "environment", "working_directory", "enabled", "xcode"}
	macosKeys    = []string{"xcode", "resource_class", "shell"}
	imageKeys    = []string{"image", "name", "entrypoint", "command", "user", "environment", "auth", "aws_auth", "gcp_auth"}
	workflowKeys = []string{"jobs", "when", "unless", "triggers", "max_auto_reruns", "description", "parameters"}
	matrixKeys   = []string{"parameters", "exclude", "alias"}
	filterKeys   = []string{"branches", "tags"}
	branchKeys   = []string{"only", "ignore"}
	stepsOfWhen  = []string{"condition", "steps"}
)

// stepKeys are the built-in steps with their keys.
var stepKeys = map[string][]string{
	"run": {
		"command", "name", "shell", "environment", "background", "working_directory",
		"no_output_timeout", "when", "max_auto_reruns", "auto_rerun_delay",
	},
	"deploy": {
		"command", "name", "shell", "environment", "background", "working_directory",
		"no_output_timeout", "when",
	},
	"checkout":               {"path", "method", "depth", "name", "when"},
	"setup_remote_docker":    {"docker_layer_caching", "version", "reusable", "exclusive", "prefer_same_region", "name", "when"},
	"save_cache":             {"key", "paths", "name", "when"},
	"restore_cache":          {"key", "keys", "name", "when"},
	"store_artifacts":        {"path", "destination", "name", "when"},
	"store_test_results":     {"path", "name", "when"},
	"persist_to_workspace":   {"root", "paths", "name", "when"},
	"attach_workspace":       {"at", "name", "when"},
	"add_ssh_keys":           {"fingerprints", "name", "when"},
	"when":                   stepsOfWhen,
	"unless":                 stepsOfWhen,
	"install_signing_bundle": nil,
}

// formerSteps are spellings that the language dropped before 2.1.
var formerSteps = map[string]string{
	"store-artifacts": "store_artifacts", "cache-save": "save_cache", "save-cache": "save_cache",
	"cache-restore": "restore_cache", "restore-cache": "restore_cache", "shallow-checkout": "checkout",
	"store-test-results": "store_test_results", "setup-docker-engine": "setup_remote_docker",
	"setup-remote-docker": "setup_remote_docker", "artifacts-store": "store_artifacts",
	"test-results-store": "store_test_results", "workspace-attach": "attach_workspace",
	"attach-workspace": "attach_workspace", "workspace-persist": "persist_to_workspace",
	"persist-to-workspace": "persist_to_workspace", "add-ssh-keys": "add_ssh_keys",
}

// checkKeys reports the keys of a map that are not permitted there. In a 2.0
// text they are only warned about: the original never minded.
func (c *compiler) checkKeys(n *node, what string, permitted []string, also func(string) bool) {
	if n == nil || n.kind != mapKind {
		return
	}
	for i := range n.fields {
		key := n.fields[i].key
		if slices.Contains(permitted, key.text) || also != nil && also(key.text) || key.template && !strings.HasPrefix(key.text, "\\<<") {
			continue
		}
		if c.legacy {
			c.warn(key, "CFG909", "the key '%s' means nothing in %s", clip(key.text, 60), what)
			continue
		}
		e := c.fail(key, "CFG010", "extraneous key [%s] is not permitted in %s", clip(key.text, 60), what)
		if e.Hint = suggest(key.text, permitted, ""); e.Hint == "" {
			e.Hint = "Permitted keys: " + strings.Join(permitted, ", ")
		}
		if strings.HasPrefix(key.text, "\\<<") {
			e.Hint = "a merge key is written << without a backslash"
		}
	}
}

// wrongKind reports a value that is, say, a list where a map is needed.
func (c *compiler) wrongKind(n *node, what, expected string) *Error {
	e := c.fail(n, "CFG012", "%s: expected type: %s, found: %s", what, expected, n.shape())
	switch {
	case n.isNull():
		e.Hint = "the value is missing: write it, or check the indentation of the lines below"
	case n.raw != "" && strings.HasPrefix(expected, "String"):
		e.Hint = "quote it: " + strconv.Quote(clip(n.raw, 60))
	case strings.HasSuffix(expected, "Mapping"):
		e.Hint = "write keys with values: name: value"
	case strings.HasSuffix(expected, "Sequence"):
		e.Hint = "write a list: begin each entry with a dash"
	case strings.HasPrefix(expected, "String"):
		e.Hint = "write one text"
	case expected == "Boolean":
		e.Hint = "write true or false"
	}
	return e
}

// checkSpace checks the maps of commands, jobs and executors of a
// configuration or an orb, without looking into the single entries: those are
// checked when they are used.
func (c *compiler) checkSpace(root *node, permitted []string, what string) {
	for _, f := range root.fields {
		key := f.key.text
		switch key {
		case "commands", "jobs", "executors", "orbs", "parameters", "workflows":
			if !f.value.isNull() && f.value.kind != mapKind {
				c.wrongKind(f.value, key, "Mapping")
			}
		default:
			if slices.Contains(permitted, key) {
				continue
			}
			if w := nearest(key, permitted); w != "" {
				c.warn(f.key, "CFG909", "the key '%s' means nothing at the top of %s; did you mean %s?", clip(key, 60), what, w)
			}
		}
	}
}

// requireMap returns the map of a value; a null is an empty one. Other values
// are reported and false is returned.
func (c *compiler) requireMap(n *node, what string) bool {
	if n.isNull() || n.kind == mapKind {
		return true
	}
	c.wrongKind(n, what, "Mapping")
	return false
}

// scalarKeys reports the given keys of a map whose value is a list or a map.
func (c *compiler) scalarKeys(n *node, what string, names ...string) {
	for _, f := range n.fields {
		if (f.value.kind == listKind || f.value.kind == mapKind) && slices.Contains(names, f.name()) {
			c.wrongKind(f.value, what+"/"+f.name(), "String")
		}
	}
}
