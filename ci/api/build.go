package api

import (
	"net/mail"
	"strconv"

	"github.com/rondo-ci/rondo/ci"
)

// A build is a [ci.Job] in the summaries of v1.1.
type build struct {
	VCSURL   string `json:"vcs_url"`
	URL      string `json:"build_url"`
	Number   *int64 `json:"build_num"`
	Branch   string `json:"branch,omitempty"`
	Tag      string `json:"vcs_tag,omitempty"`
	Revision string `json:"vcs_revision"`
	VCS      string `json:"vcs_type"`
	Org      string `json:"username"`
	Repo     string `json:"reponame"`
	Subject  string `json:"subject"`
	Body     string `json:"body"`
	Why      string `json:"why"`
	DontRun  *bool  `json:"dont_build"` // never set: what is skipped has no build

	Queued      stamp  `json:"queued_at"`
	UsageQueued stamp  `json:"usage_queued_at"`
	Started     stamp  `json:"start_time"`
	Stopped     stamp  `json:"stop_time"`
	Millis      *int64 `json:"build_time_millis"`

	Lifecycle string         `json:"lifecycle"`
	Outcome   *string        `json:"outcome"`
	Status    string         `json:"status"`
	RetryOf   *int64         `json:"retry_of"`
	Retries   []int64        `json:"retries"`
	Previous  *previousBuild `json:"previous"`
	Good      *previousBuild `json:"previous_successful_build"`

	Parallel  int               `json:"parallel"`
	Platform  string            `json:"platform"`
	Fleet     string            `json:"fleet"`
	Job       string            `json:"job_name"`
	Params    map[string]string `json:"build_parameters"`
	Author    *string           `json:"author_name"`
	Email     *string           `json:"author_email"`
	Authored  stamp             `json:"author_date"`
	Committer *string           `json:"committer_name"` // not known
	CommMail  *string           `json:"committer_email"`
	Committed stamp             `json:"committer_date"`
	User      buildUser         `json:"user"`
	Pulls     []pullRequest     `json:"pull_requests"`
	Workflows buildWorkflow     `json:"workflows"`

	Canceled     bool         `json:"canceled"`
	TimedOut     bool         `json:"timedout"`
	Infra        bool         `json:"infrastructure_fail"`
	Failed       *bool        `json:"failed"`
	HasArtifacts *bool        `json:"has_artifacts"` // null in lists
	Open         bool         `json:"oss"`
	NoSSH        bool         `json:"ssh_disabled"`
	Messages     []jobMessage `json:"messages"`
}

type previousBuild struct {
	Number int64  `json:"build_num"`
	Status string `json:"status"`
	Millis *int64 `json:"build_time_millis"`
}

type buildUser struct {
	Login  string  `json:"login"`
	Name   string  `json:"name"`
	ID     *string `json:"id"`
	IsUser bool    `json:"is_user"`
	Avatar *string `json:"avatar_url"`
	VCS    string  `json:"vcs_type"`
}

type pullRequest struct {
	Head string `json:"head_sha"`
	URL  string `json:"url"`
}

type buildWorkflow struct {
	Job         string              `json:"job_name"`
	JobID       string              `json:"job_id"`
	ID          string              `json:"workflow_id"`
	Workspace   string              `json:"workspace_id"`
	Name        string              `json:"workflow_name"`
	Upstream    []string            `json:"upstream_job_ids"`
	Concurrency map[string][]string `json:"upstream_concurrency_map"`
}

// lifecycle returns the phase of a build in the words of v1.1.
func lifecycle(s ci.Status) string {
	switch s {
	case ci.Queued, ci.Running:
		return string(s)
	case ci.Success, ci.Failed, ci.Canceled, ci.TimedOut, ci.InfraFailed:
		return "finished"
	case ci.NotRun, ci.Unauthorized:
		return "not_run"
	}
	return "not_running"
}

// outcome returns how a build ended, nil before.
func outcome(s ci.Status) *string {
	if lifecycle(s) != "finished" {
		return nil
	}
	return new(string(s))
}

// broke reports whether a build ended and something was wrong.
func broke(s ci.Status) bool { return s == ci.Failed || s == ci.TimedOut || s == ci.InfraFailed }

// buildOf returns the summary of a build; kin is what the walk found out about
// its relatives.
func (c *call) buildOf(b built, kin kin) build {
	j, t, p := b.job, b.pipeline.Trigger, b.project
	by := t.Actor
	if kin.retryOf != nil || b.workflow.RerunOf != "" {
		by = b.workflow.By
	}
	out := build{
		VCSURL: webURL(p), VCS: longHost(p), Org: p.Org, Repo: p.Repo, Branch: t.Branch, Tag: t.Tag, Revision: t.Revision,
		Subject: t.Subject, Body: t.Body, Why: why(t, kin), Queued: stampOf(j.Queued), UsageQueued: stampOf(j.Queued),
		Started: stampOf(j.Started), Stopped: stampOf(j.Stopped), Millis: millis(j),
		Lifecycle: lifecycle(j.Status), Outcome: outcome(j.Status), Status: kin.status(j.Status), RetryOf: kin.retryOf,
		Retries: append([]int64{}, kin.retries...), Previous: previousOf(kin.previous), Good: previousOf(kin.good),
		Parallel: max(j.Parallelism, 1), Platform: "2.0", Fleet: "picard", Job: j.Name,
		Params: map[string]string{"CIRCLE_JOB": j.Name}, User: buildUserOf(by, p), Pulls: []pullRequest{},
		Workflows: workflowOf1(b), Canceled: j.Status == ci.Canceled, TimedOut: j.Status == ci.TimedOut,
		Infra: j.Status == ci.InfraFailed, Open: p.Open, NoSSH: true, Messages: []jobMessage{},
	}
	if j.Number > 0 {
		out.Number = &j.Number
		out.URL = c.oldURL(p, strconv.FormatInt(j.Number, 10))
	}
	if out.Outcome != nil {
		out.Failed = new(broke(j.Status))
	}
	if t.Author != "" {
		out.Author = &t.Author
		if a, err := mail.ParseAddress(t.Author); err == nil && a.Name != "" {
			out.Author, out.Email = &a.Name, &a.Address
		}
	}
	for _, url := range t.PullRequests {
		out.Pulls = append(out.Pulls, pullRequest{t.Revision, url})
	}
	if j.Reason != "" && j.Status.Ended() && j.Status != ci.Success {
		out.Messages = append(out.Messages, jobMessage{Type: "warning", Message: j.Reason, Reason: string(j.Status)})
	}
	return out
}

func why(t ci.Trigger, k kin) string {
	switch {
	case k.retryOf != nil:
		return "retry"
	case t.Source == ci.SourceWebhook:
		return "github"
	case t.Source == ci.SourceSchedule:
		return "schedule"
	}
	return string(t.Source)
}

func millis(j *ci.Job) *int64 {
	if j.Started.IsZero() || j.Stopped.IsZero() {
		return nil
	}
	return new(j.Stopped.Sub(j.Started).Milliseconds())
}

func previousOf(b *built) *previousBuild {
	if b == nil {
		return nil
	}
	return &previousBuild{Number: b.job.Number, Status: string(b.job.Status), Millis: millis(b.job)}
}

func buildUserOf(a ci.Actor, p ci.Project) buildUser {
	out := buildUser{Login: a.String(), Name: a.String(), IsUser: a.Kind == ci.ActorUser, VCS: longHost(p)}
	if a.ID != "" {
		out.ID = &a.ID
	}
	return out
}

func workflowOf1(b built) buildWorkflow {
	w := b.workflow
	out := buildWorkflow{
		Job: b.job.Name, JobID: string(b.job.ID), ID: string(w.ID), Workspace: string(b.origin), Name: w.Name,
		Upstream: []string{}, Concurrency: map[string][]string{},
	}
	for _, r := range b.job.Requires {
		if up := w.JobNamed(r.Job); up != nil {
			out.Upstream = append(out.Upstream, string(up.ID))
		}
	}
	return out
}
