package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Audit is the book of who did what. Whether the actor may read it is for it
// to say, with [ci.ErrDenied].
type Audit interface {
	// Entries returns events, newest first, and what Before of the next query
	// is; 0 is the end. There may be more behind an answer without events.
	Entries(ctx context.Context, q ci.AuditQuery, by ci.Actor) ([]ci.AuditEntry, uint64, error)
	// Export writes all events that the query asks for, oldest first, as they
	// come. The formats are "csv", "safe-csv" and "jsonl".
	Export(ctx context.Context, w io.Writer, format string, q ci.AuditQuery, by ci.Actor) error
	// State says how the book stands, VerifyAudit verifies it before.
	State(ctx context.Context, by ci.Actor) (ci.AuditState, error)
	VerifyAudit(ctx context.Context, by ci.Actor) (ci.AuditState, error)
}

// auditRoutes are the operations on the book of who did what.
func auditRoutes() []route {
	filters := []string{
		"action: an action, with * for any characters, as in workflow.job.*", "actor: its name or identity", "target: likewise",
		"from: the earliest time, as in 2026-11-24T00:00:00Z", "to: the first time that is too late", "text: anywhere in the event",
	}
	return []route{
		{
			method: "GET", path: "/rondo/audit", summary: "Who did what, newest first", tag: "Rondo",
			query: append(filters, "limit: how many, 100 if it is left out", pageToken), status: 200, response: page[json.RawMessage]{}, serve: (*call).listAudit,
		}, {
			method: "GET", path: "/rondo/audit/export", summary: "Download who did what, oldest first", tag: "Rondo",
			query:  append(filters, "format: csv, safe-csv (no cell is a formula) or jsonl"),
			status: 200, serve: (*call).exportAudit,
		}, {
			method: "GET", path: "/rondo/audit/verify", summary: "Verify that nobody has changed who did what", tag: "Rondo",
			status: 200, response: auditState{}, serve: (*call).verifyAudit,
		},
	}
}

// An auditState is a [ci.AuditState] on the wire.
type auditState struct {
	OK      bool        `json:"ok"`
	Problem string      `json:"problem"`
	Checked stamp       `json:"checked_at"`
	Entries uint64      `json:"entries"`
	Filed   uint64      `json:"filed"`
	Waiting uint64      `json:"waiting"`
	Head    string      `json:"head"`
	Key     string      `json:"key"`
	Sinks   []auditSink `json:"sinks"`
}

type auditSink struct {
	Name    string `json:"name"`
	Sent    uint64 `json:"sent"`
	Lag     uint64 `json:"lag"`
	Problem string `json:"problem"`
}

func (c *call) audit() (Audit, error) {
	if c.cfg.Chapters.Audit == nil {
		return nil, absent("audit log")
	}
	return c.cfg.Chapters.Audit, nil
}

// auditQuery reads the filters of the address.
func (c *call) auditQuery() (ci.AuditQuery, error) {
	v := c.r.URL.Query()
	q := ci.AuditQuery{Action: v.Get("action"), Actor: v.Get("actor"), Target: v.Get("target"), Text: v.Get("text")}
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if text := v.Get(name); text != "" {
			t, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				return q, refuse(http.StatusBadRequest, name+" must be a time, as in 2026-11-24T00:00:00Z.")
			}
			*to = t
		}
	}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return q, refuse(http.StatusBadRequest, "limit must be a number from 1 to 1000.")
		}
		q.Limit = n
	}
	return q, nil
}

func (c *call) listAudit() (any, error) {
	book, err := c.audit()
	if err != nil {
		return nil, err
	}
	q, err := c.auditQuery()
	if err == nil {
		err = c.pageKey(&q.Before)
	}
	if err != nil {
		return nil, err
	}
	entries, next, err := book.Entries(c.r.Context(), q, c.by)
	if err != nil {
		return nil, err
	}
	var items []json.RawMessage
	for _, e := range entries {
		items = append(items, e.Line)
	}
	if next == 0 {
		return pageOf(items, nil), nil
	}
	return pageOf(items, next), nil
}

func (c *call) exportAudit() (any, error) {
	book, err := c.audit()
	if err != nil {
		return nil, err
	}
	q, err := c.auditQuery()
	if err != nil {
		return nil, err
	}
	format := c.r.URL.Query().Get("format")
	if format == "" {
		format = "csv"
	}
	w := &download{w: c.w, format: format, stream: newStream(c.w)}
	defer w.stream.close()
	err = book.Export(c.r.Context(), w, format, q, c.by)
	switch {
	case w.begun && err != nil:
		return written, cutOff(c.w, err)
	case w.begun:
		return written, nil
	}
	return nil, err
}

// A download sets the fields of the reply with the first bytes, so that what
// is refused before can still be an error.
type download struct {
	w      http.ResponseWriter
	format string
	stream *stream
	begun  bool
}

// Write implements io.Writer.
func (d *download) Write(p []byte) (int, error) {
	if !d.begun {
		d.begun = true
		kind, name := "text/csv; charset=utf-8; header=present", "audit.csv"
		if d.format == "jsonl" {
			kind, name = "application/x-ndjson", "audit.jsonl"
		}
		d.w.Header().Set("Content-Type", kind)
		d.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	return d.stream.Write(p)
}

// Flush sends what was written.
func (d *download) Flush() { _ = d.stream.flush() } // the next Write says what is wrong

func (c *call) verifyAudit() (any, error) {
	book, err := c.audit()
	if err != nil {
		return nil, err
	}
	s, err := book.VerifyAudit(c.r.Context(), c.by)
	if err != nil {
		return nil, err
	}
	out := auditState{
		OK: s.Problem == "", Problem: s.Problem, Checked: stampOf(s.Checked), Entries: s.Entries, Filed: s.Filed, Waiting: s.Waiting,
		Head: s.Head, Key: s.Key, Sinks: []auditSink{},
	}
	for _, sink := range s.Sinks {
		out.Sinks = append(out.Sinks, auditSink(sink))
	}
	return out, nil
}
