package audit

import (
	"bytes"
	"encoding/json"
	"path"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A filter is a query made ready.
type filter struct {
	ci.AuditQuery
	exact []byte // must be in the line as it is
	text  string // in lower case
	any   bool   // nothing narrows it
}

func newFilter(q ci.AuditQuery) filter {
	f := filter{AuditQuery: q, text: strings.ToLower(q.Text)}
	if q.Action != "" && !strings.Contains(q.Action, "*") {
		f.exact = []byte(`"action":"` + q.Action + `"`)
	}
	f.any = q.Action == "" && q.Actor == "" && q.Target == "" && q.Text == "" && q.From.IsZero() && q.To.IsZero()
	return f
}

// wants reports whether a line is asked for.
func (f filter) wants(l Line) bool {
	if f.any {
		return true
	}
	if f.exact != nil && !bytes.Contains(l.Text, f.exact) {
		return false
	}
	if f.text != "" && !strings.Contains(strings.ToLower(string(l.Text)), f.text) {
		return false
	}
	var e struct {
		Action        string
		Occurred      time.Time `json:"occurred_at"`
		Actor, Target Party
	}
	if json.Unmarshal(l.Text, &e) != nil {
		return false
	}
	switch {
	case f.Action != "" && !like(f.Action, e.Action),
		f.Actor != "" && f.Actor != e.Actor.ID && f.Actor != e.Actor.Name,
		f.Target != "" && f.Target != e.Target.ID && f.Target != e.Target.Name,
		!f.From.IsZero() && e.Occurred.Before(f.From),
		!f.To.IsZero() && !e.Occurred.Before(f.To):
		return false
	}
	return true
}

// like reports whether the text is what the pattern says; * is any characters.
func like(pattern, text string) bool {
	ok, err := path.Match(pattern, text) // actions have no slash
	return ok && err == nil
}

// overlaps reports whether lines of a file may be of the time asked for.
func (f filter) overlaps(file File) bool {
	return (f.From.IsZero() || !file.To.Before(f.From)) && (f.To.IsZero() || file.From.Before(f.To))
}
