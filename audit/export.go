package audit

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The formats of an export.
const (
	CSV      = "csv"      // the documented columns; nested ones are JSON
	SafeCSV  = "safe-csv" // the same, such that spreadsheets take no cell for a formula
	JSONL    = "jsonl"    // the lines as they are
	exportBy = 512        // lines after which an export is passed on
)

// columns are those of the guide, in the order of the fields.
var columns = []string{"id", "version", "action", "success", "occurred_at", "actor", "target", "scope", "payload", "metadata", "request"}

// Export writes the events that the query asks for, oldest first, and puts on
// record that it was asked for. Before and Limit do not count. It holds one
// event in memory, and passes on the first ones at once if w has a Flush. A
// format that there is not is [ci.ErrInvalid].
func (b *Book) Export(ctx context.Context, w io.Writer, format string, q ci.AuditQuery, by ci.Actor) error {
	if err := b.cfg.May(ctx, by); err != nil {
		return err
	}
	if format != CSV && format != SafeCSV && format != JSONL {
		return fmt.Errorf("export the audit log: format %.40q is not %s, %s or %s: %w", format, CSV, SafeCSV, JSONL, ci.ErrInvalid)
	}
	act := ci.Act{Action: "rondo.audit.export", Actor: by, Success: true, Target: map[string]string{"type": "installation", "format": format, "filter": describe(q)}}
	if err := b.Record(ctx, act); err != nil {
		return err
	}
	return Write(w, b.Lines(ctx, 0), format, q)
}

func describe(q ci.AuditQuery) string {
	var parts []string
	for _, p := range [][2]string{{"action", q.Action}, {"actor", q.Actor}, {"target", q.Target}, {"text", q.Text}} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	if !q.From.IsZero() {
		parts = append(parts, "from="+q.From.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if !q.To.IsZero() {
		parts = append(parts, "to="+q.To.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return strings.Join(parts, " ")
}

// Write writes the lines that the query asks for in a format, see
// [Book.Export].
func Write(w io.Writer, lines iter.Seq2[Line, error], format string, q ci.AuditQuery) error {
	out := newTable(w, format)
	f, n := newFilter(q), 0
	if err := out.begin(); err != nil {
		return err
	}
	for l, err := range lines {
		if err != nil {
			return err
		}
		if !f.wants(l) {
			continue
		}
		if err := out.line(l); err != nil {
			return err
		}
		if n++; n == 1 || n%exportBy == 0 {
			if err := out.flush(); err != nil {
				return err
			}
		}
	}
	return out.flush()
}

// A table writes lines in a format.
type table struct {
	w      io.Writer
	format string
	rows   *csv.Writer
	text   bytes.Buffer
	cells  []string
}

func newTable(w io.Writer, format string) *table {
	t := &table{w: w, format: format, cells: make([]string, len(columns))}
	t.rows = csv.NewWriter(&t.text)
	t.rows.UseCRLF = true
	return t
}

func (t *table) begin() error {
	if t.format == JSONL {
		return nil
	}
	if err := t.rows.Write(columns); err != nil {
		return err
	}
	return t.flush()
}

// line adds one. Nested fields are as they were written, so nothing is lost.
func (t *table) line(l Line) error {
	if t.format == JSONL {
		t.text.Write(l.Text)
		t.text.WriteByte('\n')
		return nil
	}
	var e struct {
		ID, Action                                       string
		Version                                          json.Number
		Success                                          bool
		Occurred                                         string `json:"occurred_at"`
		Actor, Target, Scope, Payload, Metadata, Request json.RawMessage
	}
	if err := json.Unmarshal(l.Text, &e); err != nil {
		return fmt.Errorf("line %d: %w", l.Seq, err)
	}
	t.cells = append(t.cells[:0], e.ID, e.Version.String(), e.Action, strconv.FormatBool(e.Success), e.Occurred,
		string(e.Actor), string(e.Target), string(e.Scope), string(e.Payload), string(e.Metadata), string(e.Request))
	if t.format == SafeCSV {
		for i, c := range t.cells {
			if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
				t.cells[i] = "'" + c
			}
		}
	}
	return t.rows.Write(t.cells)
}

// flush passes on what there is.
func (t *table) flush() error {
	t.rows.Flush()
	_, err := t.w.Write(t.text.Bytes())
	t.text.Reset()
	if f, ok := t.w.(interface{ Flush() }); ok && err == nil {
		f.Flush()
	}
	return err
}
