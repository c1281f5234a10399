package webhook

import (
	"encoding/json"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A tale is what a message tells: that job j of workflow w has ended, or with
// no job the workflow, or with neither nothing.
type tale struct {
	kind     string
	at       time.Time
	project  ci.Project
	pipeline ci.Pipeline
	workflow *ci.Workflow
	job      *ci.Job
	status   ci.Status // of what ended
}

// A body is a message on the wire.
type body struct {
	ID           string        `json:"id"`
	Type         string        `json:"type"`
	Happened     stamp         `json:"happened_at"`
	Webhook      named         `json:"webhook"`
	Project      bodyProject   `json:"project"`
	Organization named         `json:"organization"`
	Pipeline     *bodyPipeline `json:"pipeline,omitempty"`
	Workflow     *bodyWorkflow `json:"workflow,omitempty"`
	Job          *bodyJob      `json:"job,omitempty"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type bodyProject struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Slug string `json:"slug"`
}

type bodyPipeline struct {
	ID         string         `json:"id"`
	Number     int64          `json:"number"`
	Created    stamp          `json:"created_at"`
	Trigger    bodyTrigger    `json:"trigger"`
	Parameters map[string]any `json:"trigger_parameters,omitempty"`
	VCS        *bodyVCS       `json:"vcs,omitempty"`
}

type bodyTrigger struct {
	Type string `json:"type"`
}

type bodyVCS struct {
	Provider string     `json:"provider_name"`
	Origin   string     `json:"origin_repository_url,omitempty"`
	Target   string     `json:"target_repository_url,omitempty"`
	Revision string     `json:"revision"`
	Commit   bodyCommit `json:"commit"`
	Branch   string     `json:"branch,omitempty"`
	Tag      string     `json:"tag,omitempty"`
}

type bodyCommit struct {
	Subject string      `json:"subject"`
	Body    string      `json:"body"`
	Author  *bodyPerson `json:"author,omitempty"`
}

type bodyPerson struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

type bodyWorkflow struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Created stamp  `json:"created_at"`
	Stopped stamp  `json:"stopped_at"`
	URL     string `json:"url"`
	Status  string `json:"status,omitempty"` // of one that ended
}

type bodyJob struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Number  int64  `json:"number"`
	Status  string `json:"status"`
	Started stamp  `json:"started_at"`
	Stopped stamp  `json:"stopped_at"`
}

// A stamp is a time in UTC with milliseconds, null when it is not set.
type stamp time.Time

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	if time.Time(s).IsZero() {
		return []byte("null"), nil
	}
	return []byte(time.Time(s).UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// The bounds of what others wrote into a message, in bytes, lest it outgrow
// its document.
const (
	maxSubject    = 1 << 10 // and of each name
	maxText       = 32 << 10
	maxParameters = 64 << 10
)

// compose returns the document of a message to a webhook.
func (c *Courier) compose(h hook, t tale, now time.Time) (ci.Doc, error) {
	b := body{
		ID: ci.NewID(), Type: t.kind, Happened: stamp(t.at), Webhook: named{h.ID, h.Name},
		Project:      bodyProject{string(t.project.ID), t.project.Repo, longSlug(t.project.Slug)},
		Organization: named{ci.OrgID(t.project.OrgSlug()), t.project.Org},
	}
	if w := t.workflow; w != nil {
		b.Pipeline = pipelineOf(t.pipeline, t.project)
		b.Workflow = &bodyWorkflow{
			ID: string(w.ID), Name: clip(w.Name, maxSubject), Created: stamp(w.Created), Stopped: stamp(w.Stopped), URL: c.cfg.WorkflowURL(w.ID),
		}
		if t.job == nil {
			b.Workflow.Status, b.Workflow.Stopped = outcomeOf(t.status), stamp(t.at)
		}
	}
	if j := t.job; j != nil {
		b.Job = &bodyJob{
			ID: string(j.ID), Name: clip(j.Name, maxSubject), Number: j.Number, Status: outcomeOf(t.status),
			Started: stamp(j.Started), Stopped: stamp(t.at),
		}
	}
	payload, err := json.Marshal(b)
	if err != nil {
		return ci.Doc{}, fmt.Errorf("compose webhook message: %w", err)
	}
	return newMessage(h, t.kind, b.ID, payload, now)
}

func pipelineOf(p ci.Pipeline, project ci.Project) *bodyPipeline {
	t := p.Trigger
	out := &bodyPipeline{
		ID: string(p.ID), Number: p.Number, Created: stamp(p.Created), Trigger: bodyTrigger{string(t.Source)}, Parameters: t.Parameters,
	}
	if t.Source == ci.SourceSchedule {
		out.Trigger.Type = "schedule"
	}
	if text, err := json.Marshal(t.Parameters); err != nil || len(text) > maxParameters {
		out.Parameters = nil
	}
	host, _, _ := strings.Cut(longSlug(project.Slug), "/")
	target := webURL(project) // a folder has none
	out.VCS = &bodyVCS{
		Provider: host, Origin: target, Target: target, Revision: t.Revision,
		Branch: clip(t.Branch, maxSubject), Tag: clip(t.Tag, maxSubject),
		Commit: bodyCommit{Subject: clip(t.Subject, maxSubject), Body: clip(t.Body, maxText)},
	}
	if t.Fork != "" {
		out.VCS.Origin = strings.TrimSuffix(target, project.Org+"/"+project.Repo) + t.Fork
	}
	if t.Author != "" {
		out.VCS.Commit.Author = &bodyPerson{Name: clip(t.Author, maxSubject)}
		if a, err := mail.ParseAddress(t.Author); err == nil {
			out.VCS.Commit.Author = &bodyPerson{a.Name, a.Address}
		}
	}
	return out
}

// outcomeOf is a status in the words of messages, which know fewer.
func outcomeOf(s ci.Status) string {
	switch s {
	case ci.Success, ci.Canceled, ci.Unauthorized:
		return string(s)
	}
	return string(ci.Failed) // timed out, or the machinery's fault
}

// longSlug returns a slug with the long name of its host.
func longSlug(slug string) string {
	for short, long := range map[string]string{"gh/": "github/", "bb/": "bitbucket/"} {
		if rest, ok := strings.CutPrefix(slug, short); ok {
			return long + rest
		}
	}
	return slug
}

// webURL returns the address of a repository for people.
func webURL(p ci.Project) string {
	if u, err := url.Parse(p.CloneURL); err == nil && u.Host != "" {
		web := url.URL{Scheme: "https", Host: u.Hostname(), Path: strings.TrimSuffix(u.Path, ".git")}
		if u.Scheme == "http" || u.Scheme == "https" {
			web.Scheme, web.Host = u.Scheme, u.Host
		}
		return web.String()
	}
	if login, path, ok := strings.Cut(p.CloneURL, ":"); ok && strings.Contains(login, "@") && !strings.Contains(login, "/") {
		return "https://" + login[strings.LastIndexByte(login, '@')+1:] + "/" + strings.TrimSuffix(path, ".git")
	}
	return ""
}

// clip shortens a text to at most n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
