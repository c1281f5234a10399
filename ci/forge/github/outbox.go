package github

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/rondo-ci/rondo/ci"
)

// The documents of the outbox: one for each commit and context with what is to
// be said there last, and how far the events have been read.
const (
	kindStatus = "github-status"
	kindCursor = "github-cursor"
)

const (
	giveUp      = 24 * time.Hour      // after which a status is no news
	forget      = 30 * 24 * time.Hour // after which the document of one that was said goes
	maxStatuses = 1000                // of one commit and context, by the code host's rule
	reserve     = 50                  // of those for outcomes, and for tries that were not counted
	sparse      = 200                 // events that tell nothing between two writes of the cursor
	batch       = 50                  // statuses looked up at once
)

// A message is the body of a status' document.
type message struct {
	Repo        string       `json:"repo"`
	Project     ci.ProjectID `json:"project"`
	SHA         string       `json:"sha"`
	Context     string       `json:"context"`
	State       string       `json:"state"`
	Description string       `json:"description"`
	Target      string       `json:"target,omitempty"`
	Since       time.Time    `json:"since"` // when it became true
	Tries       int          `json:"tries,omitempty"`
	Sent        int          `json:"sent,omitempty"` // of this commit and context, ever
	// Told says that the code host has it, Doubt that an earlier message may
	// still arrive there and has to be looked for.
	Told  bool `json:"told,omitempty"`
	Doubt bool `json:"doubt,omitempty"`
}

// listen follows the events and writes what they mean for commits into the
// outbox, together with how far it has read: each event counts once, whatever
// happens.
func (h *Host) listen(ctx context.Context) error {
	cursor, seq, err := h.cursor(ctx)
	if err != nil {
		return err
	}
	read := 0
	for e, err := range h.cfg.Events(ctx, seq) {
		if err != nil {
			return err
		}
		for {
			change, err := h.hear(ctx, e)
			if err != nil {
				return fmt.Errorf("status of event %d: %w", e.Seq, err)
			}
			if read++; change == nil && read < sparse {
				break
			}
			cursor.Body = strconv.AppendUint(nil, e.Seq, 10)
			changes := []ci.DocChange{{Doc: cursor}}
			if change != nil {
				changes = append(changes, *change)
			}
			kept, err := h.records.WriteDocs(ctx, changes...)
			if err == nil {
				cursor, read = kept[0], 0
				if change != nil {
					poke(h.wake)
				}
				break
			}
			if !isConflict(err) {
				return err
			}
			// The sender wrote the status meanwhile: hear the event again, unless
			// another process has.
			if now, _, err := h.cursor(ctx); err != nil || now.Version != cursor.Version {
				return errors.Join(err, fmt.Errorf("another process sends statuses too: %w", ci.ErrConflict))
			}
		}
	}
	return ctx.Err()
}

// cursor reads how far the events have been read.
func (h *Host) cursor(ctx context.Context) (ci.Doc, uint64, error) {
	d, err := h.records.Doc(ctx, kindCursor, "statuses")
	if isNotFound(err) {
		return ci.Doc{Kind: kindCursor, ID: "statuses"}, 0, nil
	}
	if err != nil {
		return d, 0, err
	}
	seq, err := strconv.ParseUint(string(d.Body), 10, 64)
	d.Updated = time.Time{}
	return d, seq, err
}

// hear returns what an event changes in the outbox, nil for nothing.
func (h *Host) hear(ctx context.Context, e ci.Event) (*ci.DocChange, error) {
	if !tells(e.Kind) || time.Since(e.Time) > giveUp {
		return nil, nil
	}
	project, err := h.records.Project(ctx, e.Project)
	if isNotFound(err) || err == nil && (project.NoStatus || project.RepoID == "" || !strings.HasPrefix(project.Slug, "gh/")) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var w *ci.Workflow
	if e.Workflow != "" {
		found, err := h.records.Workflow(ctx, e.Workflow)
		if err != nil {
			return nil, ignoreMissing(err)
		}
		w = &found
	}
	s, ok := statusOf(h.cfg.Status.Prefix, e, w)
	if !ok {
		return nil, nil
	}
	p, err := h.records.Pipeline(ctx, e.Pipeline)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	doc, old, err := h.message(ctx, project.RepoID, p.Trigger.Revision, s.context)
	if err != nil || s.only && doc.Version == 0 {
		return nil, err
	}
	m := message{
		Repo: project.RepoID, Project: project.ID, SHA: p.Trigger.Revision, Context: s.context, State: s.state,
		Description: s.description, Since: e.Time, Sent: old.Sent, Doubt: old.Doubt,
	}
	if h.cfg.Status.TargetURL != nil {
		m.Target = h.cfg.Status.TargetURL(project, e)
	}
	return m.change(doc, time.Now()), nil
}

// ignoreMissing lets what has been deleted meanwhile pass.
func ignoreMissing(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// message reads what is to be said about a commit in a context.
func (h *Host) message(ctx context.Context, repo, sha, context string) (ci.Doc, message, error) {
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(repo+"\n"+sha+"\n"+context)))
	d, err := h.records.Doc(ctx, kindStatus, id)
	if isNotFound(err) {
		return ci.Doc{Kind: kindStatus, ID: id, Scope: repo}, message{}, nil
	}
	var m message
	if err == nil {
		err = json.Unmarshal(d.Body, &m)
	}
	return d, m, err
}

func (m *message) change(d ci.Doc, due time.Time) *ci.DocChange {
	d.Body, _ = json.Marshal(m)
	d.Due, d.Updated = due, time.Time{}
	return &ci.DocChange{Doc: d}
}

// send says what is due, oldest first and one after the other, as the code host
// asks of those who write. It returns when to come back.
func (h *Host) send(ctx context.Context) (time.Duration, error) {
	const pause = 5 * time.Second
	for {
		due, err := collect(h.records.DueDocs(ctx, kindStatus, time.Now(), batch))
		if err != nil {
			return pause, err
		}
		for _, d := range due {
			err := h.sendOne(ctx, d)
			var limit *LimitError
			switch {
			case errors.As(err, &limit):
				return pause, err
			case err != nil && !isConflict(err): // conflict: there is newer news
				return pause, err
			}
		}
		if len(due) < batch || ctx.Err() != nil {
			return pause, ctx.Err()
		}
	}
}

// sendOne says one thing, and writes down how that went. Of the code host's
// faults only a limit is returned.
func (h *Host) sendOne(ctx context.Context, d ci.Doc) error {
	var m message
	if err := json.Unmarshal(d.Body, &m); err != nil {
		return fmt.Errorf("status %s: %w", d.ID, err)
	}
	l, _, err := h.link(ctx, m.Repo)
	if err != nil && !isNotFound(err) {
		return err
	}
	old := time.Since(m.Since) > giveUp
	full := m.Sent >= maxStatuses || m.State == "pending" && m.Sent >= maxStatuses-reserve
	if err == nil && full && !m.Told && !old { // unsaid, but the count has to stay
		m.Told, m.Doubt = true, false
		return h.write(ctx, m.change(d, m.Since.Add(forget)))
	}
	if isNotFound(err) || m.Told && !m.Doubt || !m.Told && old {
		if !m.Told {
			h.log.Warn("commit status given up", "project", m.Project, "context", m.Context, "tries", m.Tries)
		}
		_, err := h.records.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true})
		return err
	}
	if m.Told { // look whether something older came in behind it
		same, err := h.lastIs(ctx, l, m)
		if err != nil {
			return h.failed(ctx, d, m, err)
		}
		m.Doubt, m.Told = false, same
		if same {
			return h.write(ctx, m.change(d, m.Since.Add(forget)))
		}
	}
	_, _, err = h.api.Repositories.CreateStatus(ctx, l.Owner, l.Name, m.SHA, gh.RepoStatus{
		State: &m.State, Context: &m.Context, Description: &m.Description, TargetURL: nilIfEmpty(m.Target),
	})
	if err != nil {
		return h.failed(ctx, d, m, refusal(err))
	}
	m.Told, m.Sent, m.Tries = true, m.Sent+1, 0
	due := m.Since.Add(forget)
	if m.Doubt {
		due = time.Now().Add(2 * h.cfg.Timeout)
	}
	return h.write(ctx, m.change(d, due))
}

// failed writes down that a try failed, and when the next one is.
func (h *Host) failed(ctx context.Context, d ci.Doc, m message, err error) error {
	var limit *LimitError
	if errors.As(err, &limit) || ctx.Err() != nil {
		return err
	}
	h.log.Warn("commit status not sent", "project", m.Project, "context", m.Context, "try", m.Tries+1, "error", err)
	if isInvalid(err) { // no such commit: it was never pushed, or is gone
		_, err := h.records.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true})
		return err
	}
	if !isDenied(err) && !isNotFound(err) {
		m.Doubt = true // a fault on the way: it may have arrived, or arrive later
		m.Sent++
	}
	wait := min(5*time.Second<<min(m.Tries, 9), 30*time.Minute)
	m.Tries++
	return h.write(ctx, m.change(d, time.Now().Add(wait)))
}

func (h *Host) write(ctx context.Context, c *ci.DocChange) error {
	_, err := h.records.WriteDocs(ctx, *c)
	return err
}

// lastIs reports whether the newest status of the context is what it should be.
func (h *Host) lastIs(ctx context.Context, l link, m message) (bool, error) {
	list, _, err := h.api.Repositories.ListStatuses(ctx, l.Owner, l.Name, m.SHA, &gh.ListOptions{PerPage: 100})
	if err != nil {
		return false, refusal(err)
	}
	for _, s := range list { // newest first
		if s.GetContext() == m.Context {
			return s.GetState() == m.State && s.GetDescription() == m.Description, nil
		}
	}
	return false, nil
}

func nilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
