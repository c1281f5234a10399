package plain

import (
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Change returns a change of a document as it will be kept: text as UTF-8,
// times in UTC to the millisecond, the name filled in. One that cannot be kept
// is [ci.ErrInvalid].
func Change(c ci.DocChange) (ci.DocChange, error) {
	d := &c.Doc
	d.Kind, d.ID, d.Scope, d.Name = Text(d.Kind), Text(d.ID), Text(d.Scope), Text(d.Name)
	switch {
	case d.Kind == "" || d.ID == "":
		return c, fmt.Errorf("write %s %s: a kind and an ID are needed: %w", d.Kind, d.ID, ci.ErrInvalid)
	case len(d.Body) > ci.MaxDoc || len(d.Sealed) > ci.MaxDoc:
		return c, fmt.Errorf("write %s %s: it is larger than %d bytes: %w", d.Kind, d.ID, ci.MaxDoc, ci.ErrInvalid)
	case d.Version < ci.AnyVersion:
		return c, fmt.Errorf("write %s %s: there is no version %d: %w", d.Kind, d.ID, d.Version, ci.ErrInvalid)
	}
	if d.Name == "" {
		d.Name = d.ID
	}
	if d.Updated.IsZero() {
		d.Updated = time.Now()
	}
	d.Sealed, d.Updated, d.Due = Text(d.Sealed), milli(d.Updated), milli(d.Due)
	return c, nil
}

// milli returns the time in UTC, without what is below a millisecond.
func milli(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}
