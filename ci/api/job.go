package api

import (
	"errors"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A jobDetails is a [ci.Job] on its own on the wire.
type jobDetails struct {
	ID          string        `json:"id"`
	URL         string        `json:"web_url"`
	Project     jobProject    `json:"project"`
	Runs        []parallelRun `json:"parallel_runs"`
	Started     stamp         `json:"started_at"`
	Workflow    reference     `json:"latest_workflow"`
	Name        string        `json:"name"`
	Type        string        `json:"type"`
	Executor    jobExecutor   `json:"executor"`
	Parallelism int           `json:"parallelism"`
	Status      string        `json:"status"`
	Reason      string        `json:"reason,omitempty"`
	Attempt     int           `json:"attempt"`
	Number      *int64        `json:"number"`
	Pipeline    identified    `json:"pipeline"`
	Duration    *int64        `json:"duration"` // milliseconds
	Created     stamp         `json:"created_at"`
	Messages    []jobMessage  `json:"messages"`
	Contexts    []onlyName    `json:"contexts"`
	Org         onlyName      `json:"organization"`
	Queued      stamp         `json:"queued_at"`
	Stopped     stamp         `json:"stopped_at"`
}

type jobProject struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
	URL  string `json:"external_url"`
}

type parallelRun struct {
	Index  int    `json:"index"`
	Status string `json:"status"`
}

type reference struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type identified struct {
	ID string `json:"id"`
}

type onlyName struct {
	Name string `json:"name"`
}

type jobExecutor struct {
	Class string `json:"resource_class"`
	Type  string `json:"type"`
}

type jobMessage struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"`
}

func (c *call) getJob() (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	j, w, p := f.job, &f.workflow, f.project
	out := jobDetails{
		ID: string(j.ID), Name: j.Name, Type: workflowJobOf(j, w, p).Type, Status: string(j.Status), Reason: j.Reason,
		Attempt: j.Attempt, Parallelism: max(j.Parallelism, 1), Pipeline: identified{string(w.Pipeline)},
		Project:  jobProject{string(p.ID), p.Slug, p.Repo, webURL(p)},
		Workflow: reference{string(w.ID), w.Name}, Executor: jobExecutor{j.Class, string(j.Executor)},
		Org: onlyName{p.Org}, Runs: []parallelRun{}, Messages: []jobMessage{}, Contexts: []onlyName{},
		Created: stampOf(w.Created), Queued: stampOf(j.Queued), Started: stampOf(j.Started), Stopped: stampOf(j.Stopped),
	}
	if j.Number > 0 {
		out.Number = &j.Number
		if c.cfg.JobURL != nil {
			out.URL = c.cfg.JobURL(p, j.Number)
		}
	}
	if !j.Queued.IsZero() {
		out.Created = stampOf(j.Queued)
	}
	if !j.Started.IsZero() && !j.Stopped.IsZero() {
		out.Duration = new(j.Stopped.Sub(j.Started).Milliseconds())
	}
	for i, t := range j.Tasks {
		out.Runs = append(out.Runs, parallelRun{i, string(t.Status)})
	}
	if j.Reason != "" && j.Status.Ended() && j.Status != ci.Success {
		out.Messages = append(out.Messages, jobMessage{Type: "warning", Message: j.Reason, Reason: string(j.Status)})
	}
	plan, err := c.read.Plan(c.r.Context(), w.Pipeline)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	if plan != nil {
		spec, _ := plan.Job(w.Name, j.Name)
		for _, name := range spec.Contexts {
			out.Contexts = append(out.Contexts, onlyName{name})
		}
	}
	return out, nil
}

// cancelJob accepts a second call: the reply to the first may be lost.
func (c *call) cancelJob() (any, error) {
	f, err := c.job(true)
	if err != nil {
		return nil, err
	}
	err = c.server.CancelJob(c.r.Context(), f.workflow.ID, f.job.ID, c.by)
	if errors.Is(err, ci.ErrConflict) && f.job.Status == ci.Canceled {
		err = nil
	}
	if err != nil {
		return nil, named(err, "Job")
	}
	return message{"Job canceled successfully."}, nil
}

// A test is a [ci.Test] on the wire.
type test struct {
	Name      string  `json:"name"`
	Classname string  `json:"classname"`
	File      string  `json:"file"`
	Source    string  `json:"source"`
	Result    string  `json:"result"`
	Seconds   float64 `json:"run_time"`
	Message   string  `json:"message"`
	Node      int     `json:"node_index"`
}

// The sizes of the pages of a job's belongings.
const (
	testPage     = 1000
	artifactPage = 1000
)

func (c *call) listTests() (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	var from int
	if err := c.pageKey(&from); err != nil {
		return nil, err
	}
	tests, err := c.read.Tests(c.r.Context(), f.job.ID)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	from = min(max(from, 0), len(tests))
	to := min(from+testPage, len(tests))
	items := make([]test, 0, to-from)
	for _, t := range tests[from:to] {
		items = append(items, test{t.Name, t.Classname, t.File, t.Source, t.Result, t.Seconds, t.Message, t.Node})
	}
	if to < len(tests) {
		return pageOf(items, to), nil
	}
	return pageOf(items, nil), nil
}

// A taskSteps is one parallel node of a job and its steps on the wire.
type taskSteps struct {
	Task    string `json:"task"`
	Index   int    `json:"index"`
	Epoch   int64  `json:"epoch"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Node    string `json:"node,omitempty"`
	Started stamp  `json:"started_at"`
	Stopped stamp  `json:"stopped_at"`
	Steps   []step `json:"steps"`
}

// A step is a [ci.Step] on the wire.
type step struct {
	Index      int    `json:"index"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Command    string `json:"command,omitempty"`
	Background bool   `json:"background"`
	Status     string `json:"status"`
	ExitCode   *int   `json:"exit_code"`
	Reason     string `json:"reason,omitempty"`
	Started    stamp  `json:"started_at"`
	Stopped    stamp  `json:"stopped_at"`
	Bytes      int64  `json:"bytes"`
	SHA256     string `json:"sha256,omitempty"`
	Lost       int64  `json:"lost,omitempty"`
	LogURL     string `json:"log_url"`
}

func (c *call) listSteps() (any, error) {
	f, err := c.job(false)
	if err != nil {
		return nil, err
	}
	var items []taskSteps
	for i, t := range f.job.Tasks {
		id := f.job.ID.Task(i)
		steps, err := c.read.Steps(c.r.Context(), id, t.Epoch)
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return nil, err
		}
		out := taskSteps{
			Task: string(id), Index: i, Epoch: t.Epoch, Status: string(t.Status), Reason: t.Reason, Node: t.Node,
			Started: stampOf(t.Started), Stopped: stampOf(t.Stopped), Steps: []step{},
		}
		for _, s := range steps {
			out.Steps = append(out.Steps, c.stepOf(ci.LogKey{Task: id, Epoch: t.Epoch, Step: s.Index}, s))
		}
		items = append(items, out)
	}
	return pageOf(items, nil), nil
}

func (c *call) stepOf(key ci.LogKey, s ci.Step) step {
	out := step{
		Index: s.Index, Kind: string(s.Kind), Name: s.Name, Command: s.Command, Background: s.Background,
		Status: string(s.Status), Reason: s.Reason, Started: stampOf(s.Started), Stopped: stampOf(s.Stopped),
		Bytes: s.Bytes, SHA256: s.SHA256, Lost: s.Lost, LogURL: c.cfg.URL + logPath(key),
	}
	if s.Status.Ended() && !slices.Contains([]ci.Status{ci.Canceled, ci.TimedOut}, s.Status) {
		out.ExitCode = &s.ExitCode
	}
	return out
}
