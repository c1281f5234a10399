package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

// auditRows is how many events a page of the audit log has.
const auditRows = 50

// auditBody is what the page of the audit log shows.
type auditBody struct {
	Filter   url.Values
	Rows     []auditRow
	State    ci.AuditState
	Next     string            // address of the page behind, "" is none
	Download map[string]string // addresses by format
}

// Typed returns what was asked for.
func (b auditBody) Typed(field string) string { return b.Filter.Get(field) }

// Filtered reports whether anything was.
func (b auditBody) Filtered() bool { return b.Filter.Encode() != "" }

// An auditRow is an event on the page.
type auditRow struct {
	Seq           uint64
	Action        string
	Success       bool
	Occurred      time.Time `json:"occurred_at"`
	Actor, Target auditParty
	Payload       json.RawMessage
	Metadata      map[string]string
	Request       struct {
		Address string `json:"ip_address"`
	}
}

type auditParty struct{ ID, Type, Name string }

// Text is the name, or what there is instead.
func (p auditParty) Text() string {
	switch {
	case p.Name != "":
		return p.Name
	case p.ID != "":
		return p.ID
	}
	return p.Type
}

// Details is the payload as text, "" if it has nothing.
func (r auditRow) Details() string {
	if string(r.Payload) == "{}" {
		return ""
	}
	return string(r.Payload)
}

// auditQuery reads the filters of the address. Days are those of UTC.
func auditQuery(v url.Values) (ci.AuditQuery, url.Values, error) {
	kept := url.Values{}
	for _, name := range []string{"action", "actor", "target", "text", "from", "to"} {
		if text := v.Get(name); text != "" {
			kept.Set(name, text)
		}
	}
	q := ci.AuditQuery{Action: v.Get("action"), Actor: v.Get("actor"), Target: v.Get("target"), Text: v.Get("text"), Limit: auditRows}
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return q, kept, fmt.Errorf("%s is no day, as in 2026-11-24: %w", name, ci.ErrInvalid)
		}
		if *to = day; name == "to" {
			*to = day.AddDate(0, 0, 1)
		}
	}
	if text := v.Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return q, kept, fmt.Errorf("before is no number: %w", ci.ErrInvalid)
		}
		q.Before = n
	}
	return q, kept, nil
}

// audit serves who did what.
func (s *site) audit(w http.ResponseWriter, r *http.Request) error {
	book := s.cfg.Chapters.Audit
	if book == nil {
		return absent{"audit log"}
	}
	q, kept, err := auditQuery(r.URL.Query())
	if err != nil {
		return err
	}
	entries, next, err := book.Entries(r.Context(), q, actorOf(r))
	if err != nil {
		return err
	}
	b := auditBody{Filter: kept, Download: map[string]string{}}
	if b.State, err = book.State(r.Context(), actorOf(r)); err != nil {
		return err
	}
	for _, e := range entries {
		row := auditRow{Seq: e.Seq}
		if err := json.Unmarshal(e.Line, &row); err != nil {
			return fmt.Errorf("audit log: event %d: %w", e.Seq, err)
		}
		b.Rows = append(b.Rows, row)
	}
	for _, format := range []string{"csv", "safe-csv", "jsonl"} {
		v := url.Values{"format": {format}}
		for name := range kept {
			v.Set(name, kept.Get(name))
		}
		b.Download[format] = "/audit/export?" + v.Encode()
	}
	if next > 0 {
		v := url.Values{"before": {strconv.FormatUint(next, 10)}}
		for name := range kept {
			v.Set(name, kept.Get(name))
		}
		b.Next = "/audit?" + v.Encode()
	}
	return s.render(w, r, http.StatusOK, "audit", view{Title: "Audit log", Body: b})
}

// verifyAudit verifies the book and shows the page again.
func (s *site) verifyAudit(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Chapters.Audit == nil {
		return absent{"audit log"}
	}
	if _, err := s.cfg.Chapters.Audit.VerifyAudit(r.Context(), actorOf(r)); err != nil {
		return err
	}
	redirect(w, "/audit", http.StatusSeeOther)
	return nil
}

// exportAudit sends events as a file.
func (s *site) exportAudit(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Chapters.Audit == nil {
		return absent{"audit log"}
	}
	q, _, err := auditQuery(r.URL.Query())
	if err != nil {
		return err
	}
	format := r.URL.Query().Get("format")
	out := steadily(w)
	defer out.close()
	file := &auditFile{w: w, out: out, jsonl: format == "jsonl"}
	err = s.cfg.Chapters.Audit.Export(r.Context(), file, format, q, actorOf(r))
	if err != nil && file.begun {
		return s.broken(r, err)
	}
	return err
}

// An auditFile sets the fields of the answer with the first bytes.
type auditFile struct {
	w     http.ResponseWriter
	out   io.Writer
	jsonl bool
	begun bool
}

// Write implements io.Writer.
func (f *auditFile) Write(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		mime, name := "text/csv; charset=utf-8", "audit.csv"
		if f.jsonl {
			mime, name = "application/x-ndjson", "audit.jsonl"
		}
		f.w.Header().Set("Content-Type", mime)
		f.w.Header().Set("Content-Disposition", dispose("attachment", name))
	}
	return f.out.Write(p)
}

// Flush sends what was written.
func (f *auditFile) Flush() { _ = http.NewResponseController(f.w).Flush() } // the next Write says what is wrong
