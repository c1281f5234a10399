package agent

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/tool"
)

// environ is a set of environment variables in which later ones win.
type environ map[string]string

func (e environ) add(vars ...ci.Var) {
	for _, v := range vars {
		if v.Name != "" && !strings.ContainsAny(v.Name, "=\x00") {
			e[v.Name] = v.Value
		}
	}
}

// addAll adds NAME=value pairs.
func (e environ) addAll(pairs []string) {
	for _, kv := range pairs {
		if name, value, ok := strings.Cut(kv, "="); ok {
			e.add(ci.Var{Name: name, Value: value})
		}
	}
}

// with returns a copy with more variables.
func (e environ) with(vars ...ci.Var) environ {
	c := maps.Clone(e)
	c.add(vars...)
	return c
}

// list returns the variables as NAME=value, sorted. Directory first is put at
// the head of PATH, so that a job which sets its own PATH still finds the tool.
func (e environ) list(first string) []string {
	list := make([]string, 0, len(e))
	for name, value := range e {
		if name == "PATH" && !slices.Contains(filepath.SplitList(value), first) {
			value = strings.TrimSuffix(first+string(filepath.ListSeparator)+value, string(filepath.ListSeparator))
		}
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// buildEnvironment lays the layers of the job's environment over each other,
// the weakest first: the place, where trusted certificates are, the image,
// project and contexts, the built-in variables, the job.
func (s *session) buildEnvironment(roots []ci.Var) {
	e := environ{}
	e.addAll(s.layout.Environ)
	e.add(roots...)
	if images := s.work.Job.Executor.Images; len(images) > 0 {
		e.add(images[0].Environment...)
	}
	e.add(s.work.Environment...)
	e.add(s.builtin()...)
	e.add(s.work.Job.Environment...)
	s.env = e
}

// builtin returns the variables that the agent itself sets.
func (s *session) builtin() []ci.Var {
	w := s.work
	t := w.Pipeline.Trigger
	var vars []ci.Var
	set := func(name, value string) {
		if value != "" {
			vars = append(vars, ci.Var{Name: name, Value: value})
		}
	}
	set("CI", "true")
	set("CIRCLECI", "true")
	set("CIRCLE_BRANCH", t.Branch)
	if t.Branch == "" {
		set("CIRCLE_TAG", t.Tag)
	}
	set("CIRCLE_SHA1", t.Revision)
	set("CIRCLE_BUILD_NUM", strconv.FormatInt(w.Task.Number, 10))
	set("CIRCLE_BUILD_URL", w.BuildURL)
	set("CIRCLE_JOB", w.Job.Name)
	set("CIRCLE_STAGE", w.Job.Name)
	set("CIRCLE_NODE_INDEX", strconv.Itoa(w.Task.Index))
	set("CIRCLE_NODE_TOTAL", strconv.Itoa(max(w.Task.Total, 1)))
	if w.Previous > 0 {
		set("CIRCLE_PREVIOUS_BUILD_NUM", strconv.FormatInt(w.Previous, 10))
	}
	set("CIRCLE_PROJECT_REPONAME", w.Project.Repo)
	set("CIRCLE_PROJECT_USERNAME", w.Project.Org)
	set("CIRCLE_PROJECT_ID", string(w.Project.ID))
	if org := w.Project.OrgSlug(); org != "" {
		set("CIRCLE_ORGANIZATION_ID", ci.OrgID(org))
	}
	set("CIRCLE_REPOSITORY_URL", w.Project.CloneURL)
	set("CIRCLE_USERNAME", cmp.Or(t.Actor.Login, t.Author))
	set("CIRCLE_PIPELINE_ID", string(w.Pipeline.ID))
	set("CIRCLE_WORKFLOW_ID", string(w.Task.Workflow))
	set("CIRCLE_WORKFLOW_JOB_ID", string(w.Task.Job))
	set("CIRCLE_WORKFLOW_WORKSPACE_ID", string(w.Task.Workflow))
	set("CIRCLE_WORKING_DIRECTORY", cmp.Or(w.Job.WorkingDirectory, defaultDir))
	set("CIRCLE_SHELL_ENV", s.bashEnv())
	set("BASH_ENV", s.bashEnv())
	if w.Task.Pipeline != "" { // what steps trace belongs to the trace of the pipeline
		set("TRACEPARENT", w.Task.TraceParent())
	}
	set("CIRCLE_INTERNAL_SCRATCH", s.layout.Scratch)
	set(tool.TaskData, s.taskData())
	if s.work.Task.ID != "" {
		set("CIRCLE_INTERNAL_TASK_ID", string(s.work.Task.ID))
	}
	return append(vars, pullRequest(t)...)
}

// pullRequest returns the variables that only exist for pull requests.
func pullRequest(t ci.Trigger) []ci.Var {
	var vars []ci.Var
	set := func(name, value string) { vars = append(vars, ci.Var{Name: name, Value: value}) }
	if len(t.PullRequests) > 0 {
		list := strings.Join(t.PullRequests, ",")
		set("CIRCLE_PULL_REQUEST", t.PullRequests[0])
		set("CIRCLE_PULL_REQUESTS", list)
		set("CI_PULL_REQUEST", t.PullRequests[0])
		set("CI_PULL_REQUESTS", list)
	}
	if t.Fork == "" {
		return vars
	}
	owner, repo, _ := strings.Cut(t.Fork, "/")
	set("CIRCLE_PR_USERNAME", owner)
	set("CIRCLE_PR_REPONAME", repo)
	if n, ok := pullNumber(t); ok {
		set("CIRCLE_PR_NUMBER", strconv.Itoa(n))
	}
	return vars
}

// pullNumber returns the number of the pull request that a pipeline builds.
func pullNumber(t ci.Trigger) (int, bool) {
	branch := strings.TrimPrefix(t.Branch, "refs/")
	if rest, ok := strings.CutPrefix(branch, "pull/"); ok {
		number, _, _ := strings.Cut(rest, "/")
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			return n, true
		}
	}
	if t.Fork != "" && len(t.PullRequests) > 0 {
		url := strings.TrimSuffix(t.PullRequests[0], "/")
		if n, err := strconv.Atoi(url[strings.LastIndexByte(url, '/')+1:]); err == nil && n > 0 {
			return n, true
		}
	}
	return 0, false
}
