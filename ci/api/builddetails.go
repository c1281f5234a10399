package api

import (
	"errors"

	"github.com/rondo-ci/rondo/ci"
)

// buildDetails is a build with all that v1.1 tells of it.
type buildDetails struct {
	build
	Node     *string       `json:"node"` // never known to clients
	Executor buildExecutor `json:"picard"`
	Config   buildConfig   `json:"circle_yml"`
	Commits  []buildCommit `json:"all_commit_details"`
	SSHUsers []buildUser   `json:"ssh_users"`
	Steps    []buildStep   `json:"steps"`
}

type buildExecutor struct {
	Executor string     `json:"executor"`
	Class    buildClass `json:"resource_class"`
}

type buildClass struct {
	Class string `json:"class"`
}

type buildConfig struct {
	Text string `json:"string"`
}

type buildCommit struct {
	Commit  string  `json:"commit"`
	Subject string  `json:"subject"`
	Body    string  `json:"body"`
	Author  *string `json:"author_name"`
	Email   *string `json:"author_email"`
	Branch  string  `json:"branch,omitempty"`
}

// A buildStep is one step over all parallel nodes.
type buildStep struct {
	Name    string        `json:"name"`
	Actions []buildAction `json:"actions"`
}

// A buildAction is what a step did on one node. What does not apply is null, as
// clients are used to.
type buildAction struct {
	Name       string       `json:"name"`
	Type       string       `json:"type"`
	Index      int          `json:"index"`
	Step       int          `json:"step"`
	Status     string       `json:"status"`
	Failed     *bool        `json:"failed"`
	ExitCode   *int         `json:"exit_code"`
	Started    stamp        `json:"start_time"`
	Stopped    stamp        `json:"end_time"`
	Millis     *int64       `json:"run_time_millis"`
	Command    *string      `json:"bash_command"`
	HasOutput  bool         `json:"has_output"`
	OutputURL  *string      `json:"output_url"`
	Truncated  bool         `json:"truncated"`
	Parallel   bool         `json:"parallel"`
	Background bool         `json:"background"`
	Canceled   *bool        `json:"canceled"`
	Infra      *bool        `json:"infrastructure_fail"`
	TimedOut   *bool        `json:"timedout"`
	Continue   *string      `json:"continue"`
	Messages   []jobMessage `json:"messages"`
	Source     *string      `json:"source"`
}

// aBuild returns the build of the address with its walk.
func (c *call) aBuild(write bool) (built, *walk, error) {
	f, err := c.job(write)
	if err != nil {
		return built{}, nil, err
	}
	p, err := c.read.Pipeline(c.r.Context(), f.workflow.Pipeline)
	if err != nil {
		return built{}, nil, err
	}
	w := c.walk()
	all, err := w.builds(c.r.Context(), p, f.project)
	for _, b := range all {
		if b.job.ID == f.job.ID {
			return b, w, nil
		}
	}
	if err == nil {
		err = named(ci.ErrNotFound, "Build")
	}
	return built{}, nil, err
}

// summary returns a build as v1.1 tells it outside of lists.
func (w *walk) summary(b built) (build, error) {
	k, err := w.kin(w.r.Context(), b)
	if err != nil {
		return build{}, err
	}
	out := w.buildOf(b, k)
	out.HasArtifacts, err = w.hasArtifacts(b)
	return out, err
}

func (c *call) hasArtifacts(b built) (*bool, error) {
	for i, t := range b.job.Tasks {
		if t.Epoch == 0 {
			continue
		}
		like := ci.File{Kind: ci.FileArtifact, Task: b.job.ID.Task(i), Epoch: t.Epoch}
		for _, err := range c.files.FindFiles(c.r.Context(), b.project.ID, like) {
			return new(err == nil), err
		}
	}
	return new(false), nil
}

func (c *call) getBuild() (any, error) {
	b, w, err := c.aBuild(false)
	if err != nil {
		return nil, err
	}
	out := buildDetails{SSHUsers: []buildUser{}}
	if out.build, err = w.summary(b); err != nil {
		return nil, err
	}
	out.Executor = buildExecutor{string(b.job.Executor), buildClass{b.job.Class}}
	out.Commits = []buildCommit{{
		Commit: out.Revision, Subject: out.Subject, Body: out.Body, Author: out.Author, Email: out.Email, Branch: out.Branch,
	}}
	plan, err := c.read.Plan(c.r.Context(), b.pipeline.ID)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	if plan != nil {
		out.Config.Text = plan.Source
	}
	out.Steps, err = c.buildSteps(b.job)
	return out, err
}

// buildSteps puts together what each node did in the same step. Nodes differ
// in their steps only where something went wrong.
func (c *call) buildSteps(j *ci.Job) ([]buildStep, error) {
	out := []buildStep{}
	type row struct {
		index int
		name  string
	}
	rows := map[row]int{}
	for node, t := range j.Tasks {
		id := j.ID.Task(node)
		steps, err := c.read.Steps(c.r.Context(), id, t.Epoch)
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return nil, err
		}
		for _, s := range steps {
			a, err := c.actionOf(s, ci.LogKey{Task: id, Epoch: t.Epoch, Step: s.Index}, node)
			if err != nil {
				return nil, err
			}
			a.Parallel = len(j.Tasks) > 1
			r := row{s.Index, s.Name}
			i, ok := rows[r]
			if !ok {
				i = len(out)
				rows[r], out = i, append(out, buildStep{Name: s.Name})
			}
			out[i].Actions = append(out[i].Actions, a)
		}
	}
	return out, nil
}

func (c *call) actionOf(s ci.Step, key ci.LogKey, node int) (buildAction, error) {
	a := buildAction{
		Name: s.Name, Type: string(s.Kind), Index: node, Step: s.Index, Status: string(s.Status),
		Started: stampOf(s.Started), Stopped: stampOf(s.Stopped), HasOutput: s.Bytes > 0, Truncated: s.Lost > 0,
		Background: s.Background, Messages: []jobMessage{},
	}
	if !s.Status.Ended() { // the length comes with the end
		size, err := c.logs.Size(c.r.Context(), key)
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return a, err
		}
		a.HasOutput = size > 0
	}
	if a.HasOutput {
		a.OutputURL = new(c.outputURL(key))
	}
	if s.Command != "" {
		a.Command = &s.Command
	}
	if !s.Started.IsZero() && !s.Stopped.IsZero() {
		a.Millis = new(s.Stopped.Sub(s.Started).Milliseconds())
	}
	if s.Reason != "" {
		a.Messages = append(a.Messages, jobMessage{Type: "warning", Message: s.Reason, Reason: string(s.Status)})
	}
	switch s.Status {
	case ci.Failed:
		a.Failed = new(true)
	case ci.InfraFailed:
		a.Failed, a.Infra = new(true), new(true)
	case ci.Canceled:
		a.Canceled = new(true)
	case ci.TimedOut:
		a.TimedOut = new(true)
	}
	if s.Status == ci.Success || s.Status == ci.Failed {
		a.ExitCode = &s.ExitCode
	}
	return a, nil
}
