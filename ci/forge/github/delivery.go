package github

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The documents about webhooks.
//
//	github-delivery  one that was acted on: ID is its own, Name the hash of its
//	                 content; forgotten when it can no longer be repeated
//	github-pull      an open pull request, by repository and number; Scope is
//	                 the repository and the branch it comes from
//	github-head      the commit that a reference was last known to stand for
const (
	kindDelivery = "github-delivery"
	kindPull     = "github-pull"
	kindHead     = "github-head"
)

// A delivery is one webhook whose sender is known.
type delivery struct {
	guid   string
	event  string
	body   []byte
	owner  ci.ProjectID // whose secret signed it; "" is the installation's
	signed bool         // it came through the door, not by our own asking
	sent   time.Time    // when it was first sent, if that is long ago; zero is now
}

// sum returns the hash of the content. The name of the event is not signed and
// therefore part of it. What we asked for ourselves comes in another spelling
// than the body that was sent, so it has no hash to compare.
func (d delivery) sum() string {
	if !d.signed {
		return askedFor + d.guid
	}
	return fmt.Sprintf("%x", sha256.Sum256(append([]byte(d.event+"\n"), d.body...)))
}

// A followed is a repository that somebody follows, and its project.
type followed struct {
	id      string // of the repository
	link    link
	project ci.Project
	sent    time.Time // of the event, zero is now
}

// An outcome is what an event comes to: a pipeline, or none and why, and what
// is to be remembered.
type outcome struct {
	pipeline ci.PipelineID
	text     string
	changes  []ci.DocChange
	tend     bool // the repository is to be looked after
}

// accept acts on a delivery, once.
func (h *Host) accept(ctx context.Context, d delivery) reply {
	act := events[d.event]
	if act == nil { // no telling what it is: we did not ask for it
		return reply{status: http.StatusNoContent}
	}
	p, err := parse(d.body)
	if err != nil {
		return reply{status: http.StatusBadRequest, Message: err.Error()}
	}
	if d.event == "ping" && p.Repository == nil { // of an organisation's hook
		return reply{status: http.StatusOK, Message: "pong"}
	}
	f, refused := h.followed(ctx, d, &p)
	if refused.status != 0 {
		return refused
	}
	sum := d.sum()
	if old, done := h.repeated(ctx, d.guid, sum); done {
		return old
	}
	for try := 0; ; try++ {
		out, err := act(ctx, h, f, &p)
		if err == nil {
			err = h.keep(ctx, d, sum, out)
		}
		switch {
		case err == nil:
			return reply{status: http.StatusOK, Message: out.text, Pipeline: out.pipeline}
		case isInvalid(err):
			return reply{status: http.StatusUnprocessableEntity, Message: err.Error()}
		case !isConflict(err) || try == 3:
			return h.fault(d.event+" of "+f.project.Slug, err)
		}
		// Either this delivery came twice at once, or what it changes has been
		// changed by another.
		if old, done := h.repeated(ctx, d.guid, sum); done {
			return old
		}
	}
}

// keep writes down what a delivery came to, and with it that it was received.
func (h *Host) keep(ctx context.Context, d delivery, sum string, out outcome) error {
	body, err := json.Marshal(outcomeKept{out.pipeline, d.event})
	if err != nil {
		return err
	}
	doc := ci.Doc{Kind: kindDelivery, ID: d.guid, Name: sum, Body: body, Due: time.Now().Add(remember)}
	if _, err := h.records.WriteDocs(ctx, append(out.changes, ci.DocChange{Doc: doc})...); err != nil {
		return err
	}
	if out.tend {
		poke(h.stale)
	}
	return nil
}

// askedFor begins the names of deliveries that have no hash.
const askedFor = "asked for: "

// outcomeKept is the body of a delivery's document.
type outcomeKept struct {
	Pipeline ci.PipelineID `json:"pipeline,omitempty"`
	Event    string        `json:"event"`
}

// repeated answers a delivery that was acted on before: by its ID, which
// anybody may change on a replay, or by its content.
func (h *Host) repeated(ctx context.Context, guid, sum string) (reply, bool) {
	doc, err := h.records.Doc(ctx, kindDelivery, guid)
	if isNotFound(err) {
		if doc, err = h.records.DocNamed(ctx, kindDelivery, "", sum); isNotFound(err) {
			return reply{}, false
		}
	}
	if err != nil {
		return h.fault("look up a delivery", err), true
	}
	if doc.Name != sum && !strings.HasPrefix(doc.Name, askedFor) && !strings.HasPrefix(sum, askedFor) {
		h.warn("webhook refused", "a delivery came again with other content")
		return reply{status: http.StatusConflict, Message: "this delivery was received before, with other content"}, true
	}
	var kept outcomeKept
	if err := json.Unmarshal(doc.Body, &kept); err != nil {
		return h.fault("read a delivery", err), true
	}
	return reply{status: http.StatusOK, Message: "received before", Pipeline: kept.Pipeline}, true
}

// followed finds the project that an event is about by the repository's ID,
// never by its name: that may be another's by now.
func (h *Host) followed(ctx context.Context, d delivery, p *payload) (followed, reply) {
	unknown := reply{status: http.StatusNotFound, Message: "this repository is not followed here"}
	if p.Repository == nil || p.Repository.ID <= 0 {
		return followed{}, reply{status: http.StatusBadRequest, Message: "body: it names no repository"}
	}
	f := followed{id: strconv.FormatInt(p.Repository.ID, 10), sent: d.sent}
	l, _, err := h.link(ctx, f.id)
	if isNotFound(err) {
		return f, unknown
	}
	if err != nil {
		return f, h.fault("look up a repository", err)
	}
	f.link = l
	if d.owner != "" && d.owner != l.Project {
		h.warn("webhook refused", "it is signed with the secret of another project")
		return f, unknown
	}
	if d.signed && d.owner == "" { // a project with a secret of its own takes no other
		own, err := h.secrets(ctx, l.Project)
		if err != nil {
			return f, h.fault("secret of a webhook", err)
		}
		if len(own) > 0 && !h.sharesSecret(ctx, own) {
			h.warn("webhook refused", "the project has a secret of its own")
			return f, unknown
		}
	}
	f.project, err = h.records.Project(ctx, l.Project)
	if isNotFound(err) || err == nil && !f.project.Followed && d.event != "ping" {
		return f, unknown
	}
	if err != nil {
		return f, h.fault("look up a project", err)
	}
	return f, reply{}
}

// sharesSecret reports whether the secrets of a project are those of the
// installation, as they are when Secrets makes no difference.
func (h *Host) sharesSecret(ctx context.Context, own []string) bool {
	all, err := h.secrets(ctx, "")
	if err != nil || len(all) == 0 {
		return false
	}
	a, b := sha256.Sum256([]byte(all[0])), sha256.Sum256([]byte(own[0]))
	return hmac.Equal(a[:], b[:])
}
