package github

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A payload is what we read of a webhook's body; all events share it. Fields
// that we do not read may be of any shape.
type payload struct {
	Ref        string      `json:"ref"`
	RefType    string      `json:"ref_type"`
	Before     string      `json:"before"`
	Deleted    bool        `json:"deleted"`
	HeadCommit *commit     `json:"head_commit"`
	Action     string      `json:"action"`
	Pull       *pull       `json:"pull_request"`
	Repository *repository `json:"repository"`
	Sender     *person     `json:"sender"`
}

type repository struct {
	ID            int64  `json:"id"`
	FullName      string `json:"full_name"`
	DefaultBranch string `json:"default_branch"`
}

type commit struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	Author  person `json:"author"`
}

// A person is an account (ID and Login) or the author of a commit (Name).
type person struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
	Name  string `json:"name"`
}

type pull struct {
	Number int    `json:"number"`
	State  string `json:"state"`
	Title  string `json:"title"`
	Head   side   `json:"head"`
	Base   side   `json:"base"`
}

type side struct {
	Ref  string      `json:"ref"`
	SHA  string      `json:"sha"`
	Repo *repository `json:"repo"`
}

// parse reads the body of a webhook. What is no JSON object, nested too deeply
// or of the wrong shape is [ci.ErrInvalid].
func parse(body []byte) (payload, error) {
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return payload{}, fmt.Errorf("body: it is no JSON of the form that was announced: %w", ci.ErrInvalid)
	}
	return p, nil
}

// actor returns who caused the event. Only the account that the code host
// itself names counts; what a commit says of its author anybody can write.
func (p *payload) actor() ci.Actor {
	a := ci.Actor{Kind: ci.ActorForge}
	if p.Sender != nil {
		a.Login = cut(p.Sender.Login, 100)
		if p.Sender.ID != 0 {
			a.ID = fmt.Sprint(p.Sender.ID)
		}
	}
	return a
}

// fork returns the full name of the repository that a pull request comes from,
// "" when that is the base itself. ok is false when there is no telling.
func (p *pull) fork() (name string, ok bool) {
	switch {
	case p.Head.Repo == nil || p.Base.Repo == nil || p.Head.Repo.ID == 0:
		return "", false
	case p.Head.Repo.ID == p.Base.Repo.ID:
		return "", true
	}
	return p.Head.Repo.FullName, p.Head.Repo.FullName != ""
}

// trigger returns the trigger of a reference that has come to the commit.
func (c commit) trigger(project ci.ProjectID, ref string) ci.Trigger {
	t := ci.Trigger{
		Project: project, Source: ci.SourceWebhook, Key: ref + "@" + c.ID, Revision: c.ID,
		Author: c.Author.Name, Actor: ci.Actor{Kind: ci.ActorForge},
	}
	t.Subject, t.Body = c.message()
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		t.Tag = tag
	} else if number, ok := pullOf(ref); ok {
		t.Branch = fmt.Sprintf("pull/%d", number)
	} else {
		t.Branch = strings.TrimPrefix(ref, "refs/heads/")
	}
	return t
}

// message splits the commit message as git does: the first paragraph, on one
// line, and the rest.
func (c commit) message() (subject, body string) {
	text := strings.TrimSpace(strings.ReplaceAll(c.Message, "\r\n", "\n"))
	lines := strings.Split(text, "\n")
	i := 0
	for ; i < len(lines) && strings.TrimSpace(lines[i]) != ""; i++ {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Join(lines[:i], " "), strings.Trim(strings.Join(lines[i:], "\n"), "\n")
}

// skipped reports whether the commit asks for no pipeline: one of the marks in
// the first 250 characters of title or body.
func (c commit) skipped() bool {
	subject, body := c.message()
	for _, text := range []string{subject, body} {
		runes := []rune(text)
		text = string(runes[:min(len(runes), 250)])
		if strings.Contains(text, "[ci skip]") || strings.Contains(text, "[skip ci]") {
			return true
		}
	}
	return false
}
