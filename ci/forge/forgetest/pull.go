package forgetest

import (
	"fmt"
	"os/exec"
	"time"
)

// A pull is a pull request.
type pull struct {
	number         int
	id             int64
	title, state   string
	head           *Repo
	branch, target string
	sha            string
	made           time.Time
}

// OpenPull opens a pull request from a branch of head, which may be the
// repository itself or a fork, to the default branch, and returns its number.
func (r *Repo) OpenPull(head *Repo, branch, title string) int {
	r.g.t.Helper()
	p := &pull{id: r.g.id(), title: title, state: "open", head: head, branch: branch, target: r.branch, made: time.Now().UTC()}
	r.set(func() {
		p.number = len(r.pulls) + 1
		r.pulls = append(r.pulls, p)
	})
	r.fetch(p)
	r.tellPull(p, "opened", nil)
	return p.number
}

// SyncPull tells that the head of a pull request has moved, as the code host
// does after a push there.
func (r *Repo) SyncPull(number int) {
	r.g.t.Helper()
	p := r.pull(number)
	before := p.sha
	r.fetch(p)
	r.tellPull(p, "synchronize", object{"before": before, "after": p.sha})
}

// ClosePull closes a pull request, and ReopenPull opens it again.
func (r *Repo) ClosePull(number int) {
	p := r.pull(number)
	r.set(func() { p.state = "closed" })
	r.tellPull(p, "closed", nil)
}

// ReopenPull opens a pull request that was closed.
func (r *Repo) ReopenPull(number int) {
	p := r.pull(number)
	r.set(func() { p.state = "open" })
	r.tellPull(p, "reopened", nil)
}

// fetch brings the head of a pull request into the repository, where it is
// refs/pull/N/head.
func (r *Repo) fetch(p *pull) {
	ref := fmt.Sprintf("refs/pull/%d/head", p.number)
	must(r.g.t, "fetch", exec.Command("git", "-C", r.dir, "fetch", "--quiet", p.head.dir, "+refs/heads/"+p.branch+":"+ref))
	sha := r.at(ref)
	r.set(func() { p.sha = sha })
}

// pull returns a pull request; an unknown one ends the test.
func (r *Repo) pull(number int) *pull {
	p := r.findPull(number)
	if p == nil {
		r.g.t.Fatalf("there is no pull request %d", number)
	}
	return p
}

func (r *Repo) findPull(number int) (p *pull) {
	r.set(func() {
		if number > 0 && number <= len(r.pulls) {
			p = r.pulls[number-1]
		}
	})
	return p
}

func (r *Repo) tellPull(p *pull, action string, more object) {
	payload := object{"number": p.number, "pull_request": r.pullJSON(p, true)}
	for k, v := range more {
		payload[k] = v
	}
	r.tell("pull_request", action, payload)
}
