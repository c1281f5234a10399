package github

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// events says what each event of a repository comes to. Those that are not
// here come to nothing.
var events = map[string]func(ctx context.Context, h *Host, f followed, p *payload) (outcome, error){
	"ping":         func(context.Context, *Host, followed, *payload) (outcome, error) { return outcome{text: "pong"}, nil },
	"push":         pushed,
	"pull_request": pulled,
	"delete":       deleted,
	"repository":   changed,
	"public":       changed,
	"create":       ignored, // a push says the same
	"member":       ignored, // who may do what is asked for when somebody wants to
}

// wantedEvents are those that a webhook is registered for.
func wantedEvents() []string {
	return []string{"create", "delete", "member", "public", "pull_request", "push", "repository"}
}

func ignored(context.Context, *Host, followed, *payload) (outcome, error) {
	return outcome{text: "nothing to do"}, nil
}

// pushed acts on a branch or tag that has come to a commit.
func pushed(ctx context.Context, h *Host, f followed, p *payload) (outcome, error) {
	after := zeroHash
	if p.HeadCommit != nil {
		after = p.HeadCommit.ID // of an annotated tag, the commit and not the tag
	}
	switch {
	case !isRef(p.Ref):
		if strings.HasPrefix(p.Ref, "refs/heads/") || strings.HasPrefix(p.Ref, "refs/tags/") || p.Ref == "" {
			return outcome{}, fmt.Errorf("ref: it is no branch or tag that git allows: %w", ci.ErrInvalid)
		}
		return outcome{text: "neither a branch nor a tag"}, nil
	case p.Deleted:
		return h.gone(ctx, f, p.Ref, p.Before)
	case p.HeadCommit == nil:
		return outcome{text: "no commit to build"}, nil
	case !isHash(after):
		return outcome{}, fmt.Errorf("head_commit: its id is no hash: %w", ci.ErrInvalid)
	}
	passed, err := h.overtaken(ctx, f, p.Ref, p.Before)
	if err != nil {
		return outcome{}, err
	}
	var out outcome
	if !passed {
		out.changes = []ci.DocChange{keepHead(f.id, p.Ref, after, f.sent)}
	}
	t := p.HeadCommit.trigger(f.project.ID, p.Ref)
	t.Actor = p.actor()
	if isHash(p.Before) {
		t.Base = p.Before
	}
	switch {
	case p.HeadCommit.skipped():
		out.text = "the commit asks for no pipeline"
		return out, nil
	case passed && f.project.AutoCancel && t.Tag == "" && t.Branch != f.project.DefaultBranch:
		// The newer pipeline would have ended this one; made now, it would end
		// the newer one.
		out.text = "a newer push to the branch came first, and the project cancels older ones"
		return out, nil
	}
	if t.PullRequests, err = h.openPulls(ctx, f.id, t.Branch); err != nil {
		return outcome{}, err
	}
	if f.project.OnlyPullRequests && t.Tag == "" && len(t.PullRequests) == 0 && !f.exempt(t.Branch, p.Repository.DefaultBranch) {
		if t.PullRequests, err = h.Repo(f.project).Pulls(ctx, t.Branch); err != nil {
			return outcome{}, err // not knowing is no reason to leave it out
		}
		if len(t.PullRequests) == 0 {
			out.text = "no pull request is open for the branch"
			return out, nil
		}
	}
	return h.start(ctx, t, out)
}

// exempt reports whether a branch is built without a pull request.
func (f followed) exempt(branch, defaultBranch string) bool {
	return branch == f.project.DefaultBranch || branch == defaultBranch || slices.Contains(f.project.PullRequestExempt, branch)
}

// start makes the pipeline.
func (h *Host) start(ctx context.Context, t ci.Trigger, out outcome) (outcome, error) {
	if h.cfg.Trigger == nil {
		return outcome{}, fmt.Errorf("trigger: nobody takes it: %w", ci.ErrDenied)
	}
	pipeline, err := h.cfg.Trigger(ctx, t)
	if err != nil {
		return outcome{}, err
	}
	out.pipeline, out.text = pipeline.ID, "pipeline"
	return out, nil
}

// pulled acts on a pull request: those from forks are built when the project
// says so, those of the repository itself were when they were pushed, unless
// the push had to wait for the pull request.
func pulled(ctx context.Context, h *Host, f followed, p *payload) (outcome, error) {
	pr := p.Pull
	if pr == nil || pr.Number <= 0 || pr.Base.Repo == nil || pr.Base.Repo.ID != p.Repository.ID {
		return outcome{}, fmt.Errorf("pull_request: it is none of this repository: %w", ci.ErrInvalid)
	}
	fork, known := pr.fork()
	branch := pr.Head.Ref
	if fork != "" || !known {
		branch = fmt.Sprintf("pull/%d", pr.Number)
	}
	page := h.pullURL(f.link.Owner, f.link.Name, pr.Number)
	out := outcome{text: "nothing to do", changes: []ci.DocChange{keepPull(f.id, branch, pr.Number, page, pr.State != "closed")}}
	builds := p.Action == "opened" || p.Action == "synchronize" || p.Action == "reopened"
	ref := "refs/heads/" + branch
	switch {
	case !builds || !known || pr.State == "closed":
		return out, nil
	case !isHash(pr.Head.SHA) || !isRef("refs/heads/"+pr.Head.Ref):
		return outcome{}, fmt.Errorf("pull_request: its head is no commit of a branch: %w", ci.ErrInvalid)
	case fork != "" && !f.project.BuildForks:
		out.text = "pull requests from forks are not built"
		return out, nil
	case fork != "":
		ref = pullRef(pr.Number)
	case !f.project.OnlyPullRequests:
		return out, nil
	}
	c, err := h.Repo(f.project).commit(ctx, pr.Head.SHA)
	if fork != "" && err != nil { // its message is for people only
		c = commit{ID: pr.Head.SHA, Message: pr.Title}
	} else if err != nil {
		return outcome{}, err
	}
	if fork == "" && c.skipped() {
		out.text = "the commit asks for no pipeline"
		return out, nil
	}
	t := c.trigger(f.project.ID, ref)
	t.Actor, t.Fork, t.PullRequests = p.actor(), fork, []string{page}
	if p.Action == "synchronize" && isHash(p.Before) {
		t.Base = p.Before
	}
	return h.start(ctx, t, out)
}

// deleted forgets a branch or tag that is gone.
func deleted(ctx context.Context, h *Host, f followed, p *payload) (outcome, error) {
	kinds := map[string]string{"branch": "refs/heads/", "tag": "refs/tags/"}
	if ref := kinds[p.RefType] + p.Ref; isRef(ref) {
		return h.gone(ctx, f, ref, p.Before)
	}
	return outcome{text: "neither a branch nor a tag"}, nil
}

// gone forgets a branch or tag, and tells of a branch. A deletion that comes
// after a newer push is out of date.
func (h *Host) gone(ctx context.Context, f followed, ref, before string) (outcome, error) {
	passed, err := h.overtaken(ctx, f, ref, before)
	if err != nil || passed {
		return outcome{text: "a newer push came first"}, err
	}
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok && h.cfg.Gone != nil {
		if err := h.cfg.Gone(ctx, f.project.ID, branch); err != nil {
			return outcome{}, fmt.Errorf("branch %s is deleted: %w", branch, err)
		}
	}
	return outcome{text: "forgotten", changes: []ci.DocChange{forgetHead(f.id, ref)}}, nil
}

// changed notes that the repository may have another name or setting now.
// [Host.Run] asks the code host which: what an old webhook says may be out of
// date, or sent again.
func changed(ctx context.Context, h *Host, f followed, _ *payload) (outcome, error) {
	l, doc, err := h.link(ctx, f.id)
	if err != nil {
		return outcome{}, err
	}
	l.Stale = true
	return outcome{text: "noted", tend: true, changes: []ci.DocChange{l.change(doc, time.Now())}}, nil
}

const zeroHash = "0000000000000000000000000000000000000000"

// keepHead remembers what a reference stands for since a time; zero is now.
func keepHead(repo, ref, hash string, since time.Time) ci.DocChange {
	return ci.DocChange{Doc: ci.Doc{
		Kind: kindHead, ID: repo + " " + ref, Scope: repo, Name: ref, Body: []byte(`"` + hash + `"`), Version: ci.AnyVersion, Updated: since,
	}}
}

// overtaken reports whether something newer than the push is known of the
// reference, which is so only for one that was missed and found again. A push
// that begins where we know the reference to be is the next one, whatever the
// clocks say; the code host tells times in whole seconds.
func (h *Host) overtaken(ctx context.Context, f followed, ref, before string) (bool, error) {
	if f.sent.IsZero() {
		return false, nil
	}
	d, err := h.records.Doc(ctx, kindHead, f.id+" "+ref)
	if err != nil {
		return false, ignoreMissing(err)
	}
	return string(d.Body) != `"`+before+`"` && d.Updated.Sub(f.sent) > 2*time.Second, nil
}

func forgetHead(repo, ref string) ci.DocChange {
	return ci.DocChange{Doc: ci.Doc{Kind: kindHead, ID: repo + " " + ref, Version: ci.AnyVersion}, Delete: true}
}

// keepPull remembers that a pull request is open, or forgets it.
func keepPull(repo, branch string, number int, page string, open bool) ci.DocChange {
	body, _ := json.Marshal(page)
	return ci.DocChange{Delete: !open, Doc: ci.Doc{
		Kind: kindPull, ID: fmt.Sprintf("%s %d", repo, number), Scope: repo + " " + branch,
		Name: fmt.Sprintf("%010d", number), Body: body, Version: ci.AnyVersion,
	}}
}

// openPulls returns the addresses of the pull requests that are known to be
// open for a branch.
func (h *Host) openPulls(ctx context.Context, repo, branch string) ([]string, error) {
	var open []string
	if branch == "" {
		return nil, nil
	}
	for d, err := range h.records.Docs(ctx, ci.DocQuery{Kind: kindPull, Scope: repo + " " + branch}) {
		if err != nil {
			return nil, err
		}
		var page string
		if err := json.Unmarshal(d.Body, &page); err != nil {
			return nil, err
		}
		open = append(open, page)
	}
	return open, nil
}
